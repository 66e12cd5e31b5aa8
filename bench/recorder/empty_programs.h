// The kernel's own price of watching every system call: programs that do nothing, attached where
// the recorder's are. Any recorder that sees entry and exit of every task costs at least that.
#pragma once

#include <optional>

#include "base/fd.h"

namespace gyges::bench {

class EmptyPrograms {
 public:
  // None where the kernel does not let us.
  static std::optional<EmptyPrograms> attach();

 private:
  UniqueFd enter_;
  UniqueFd exit_;
};

}  // namespace gyges::bench
