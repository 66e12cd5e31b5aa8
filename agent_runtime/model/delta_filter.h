// Takes a key out of a streamed reply, wherever in it an endpoint repeats it and however the pieces
// are cut.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/pass_through.h"

namespace gyges::model {

// Not thread-safe. Memory: less than the key for each block that is open.
class DeltaFilter {
 public:
  // `forms`: of the key (forms_of_key()); none: nothing is changed.
  explicit DeltaFilter(std::vector<std::string> forms) : forms_(std::move(forms)) {}

  // The same without the key. What may yet become one waits until its block goes on or is closed.
  std::vector<Delta> take(std::vector<Delta> deltas);

 private:
  void clean(std::string& text) const;
  std::vector<std::string> forms_;
  std::map<std::pair<bool, std::size_t>, WordFilter> open_;  // by kind and number of the block
};

}  // namespace gyges::model
