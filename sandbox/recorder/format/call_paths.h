// What a system call has to do with names of files and with descriptors: worked out once from its
// row in the table and not for each of millions of events.
#pragma once

#include <array>
#include <cstdint>

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

struct CallPaths {
  // An argument that stands for a file, in the order of arguments.
  struct Step {
    std::uint8_t argument = 0;
    bool is_path = false;      // else a descriptor
    bool after_dirfd = false;  // a path that the argument before it is the directory of
    bool mutates = false;
  };
  enum class OpenFlags : std::uint8_t { none, as_creat, in_argument, in_open_how };
  enum class Effect : std::uint8_t {
    none,
    enters_directory,  // chdir, fchdir
    tells_directory,   // getcwd
    closes,
    duplicates,   // dup, dup2, dup3
    is_of_fcntl,  // fcntl, fcntl64: its command says
    returns_descriptor,
    receives_descriptors,  // recvmsg, recvmmsg
    unshares,
    closes_range,
    connects,
    makes_pipe,         // two descriptors at the first argument
    makes_socket_pair,  // at the fourth
  };

  std::array<Step, 6> steps{};
  std::uint8_t step_count = 0;
  std::uint8_t dirfds = 0;  // bit i: argument i is a directory's descriptor
  OpenFlags open_flags = OpenFlags::none;
  std::uint8_t open_flags_argument = 0;
  std::int8_t at_flags_argument = -1;  // has AT_EMPTY_PATH; -1: none
  Effect effect = Effect::none;
  // What the descriptors that it makes stand for, where that is no file; empty: a file, or the
  // arguments say.
  std::string_view object;
  std::uint64_t close_on_exec_bit = 0;  // in the argument below; ~0: always
  std::uint8_t close_on_exec_argument = 0;

  // Whether it names no file and changes nothing that names rest on.
  [[nodiscard]] bool nothing() const { return step_count == 0 && effect == Effect::none; }
};

// Of a call of the table, which is given by its row; lives for ever. Thread-safe.
const CallPaths& call_paths(Abi abi, const SyscallSpec& spec);

}  // namespace gyges::recorder
