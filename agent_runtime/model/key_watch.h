// Finds a key that an endpoint repeats in pieces: each event of a stream that is handed on as it
// came holds a part, and whoever reads the words puts it together.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent_runtime/model/delta.h"

namespace gyges::model {

// Not thread-safe. Memory: less than the longest form for each block that is open.
class KeyWatch {
 public:
  enum class Seen : std::uint8_t {
    nothing,
    beginning,  // what comes next may make a key of it
    key,
  };

  // `forms`: of the key (forms_of_key()).
  explicit KeyWatch(std::vector<std::string> forms) : forms_(std::move(forms)) {}

  // The deltas of one event, in order.
  Seen take(const std::vector<Delta>& deltas);

 private:
  std::vector<std::string> forms_;
  std::map<std::pair<bool, std::size_t>, std::string> ends_;  // of the words of each open block
};

}  // namespace gyges::model
