// Appends steps to a plan; one short call for each kind of step that several concerns need.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/isolation/plan.h"

namespace gyges::isolation {

// Borrows the list. The references that it returns are valid until the next step is added.
class StepWriter {
 public:
  explicit StepWriter(std::vector<Step>& steps) : steps_(steps) {
    // Moving the steps again and again as they grow touched 20 pages of fresh memory.
    steps_.reserve(std::max<std::size_t>(steps_.size(), 160));
  }

  Step& add(init::Op op, std::string words);
  Step& add_path(init::Op op, std::string words, std::string path);
  void make_path(std::string path, unsigned mode);
  void mount(std::string words, std::string type, std::string path, std::uint64_t flags,
             std::string data);
  void write_file(std::string words, std::string path, std::string content);

 private:
  std::vector<Step>& steps_;
};

}  // namespace gyges::isolation
