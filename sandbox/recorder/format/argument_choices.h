// Arguments whose meaning another argument decides: what fcntl's third is follows from its second.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

struct ArgumentChoice {
  std::string_view name;
  std::uint32_t mask = 0;  // of the deciding argument
  std::vector<std::pair<std::uint32_t, ArgumentSpec>> kinds;

  // nullptr for values that it says nothing of.
  [[nodiscard]] const ArgumentSpec* find(std::uint64_t decider) const;
};

// The choices of an ABI's table; ArgumentSpec::choice counts them from 1. They have the same order
// for all ABIs, and sizes of their own.
std::span<const ArgumentChoice> argument_choices(Abi abi);

// What argument `index` is in a call with these arguments: the table's, or what a choice says. Of
// kind none when the call takes neither it nor those after it.
const ArgumentSpec& chosen_argument(Abi abi, const SyscallSpec& spec,
                                    std::span<const std::uint64_t> args, std::size_t index);

// The `choice` lines of a table while it is read.
class ChoiceLines {
 public:
  // Of a line, what follows "choice". False when it cannot be read.
  bool add(std::string_view line);
  // Its number from 1 on; 0 when there is none of that name.
  [[nodiscard]] std::uint8_t number_of(std::string_view name) const;
  // `parse` reads the kind of an argument. False when it cannot, of any line.
  bool resolve(const std::function<bool(std::string_view, ArgumentSpec&)>& parse,
               std::vector<ArgumentChoice>& choices) const;

 private:
  struct Kind {
    std::uint32_t value;
    std::string_view word;
  };
  struct Lines {
    std::string_view name;
    std::uint32_t mask;
    std::vector<Kind> kinds;
  };
  std::vector<Lines> lines_;
};

}  // namespace gyges::recorder
