// What is known about every system call of Linux on x86-64, and of the i386 calls that int 0x80
// reaches: names, the meaning of each argument, what a pointer points to and how long that is.
//
// This table is the one source for the recorder's capture map, for the text and JSON form of events
// and for the path resolver. It is read from data: x86_64.syscalls and i386.syscalls beside this
// file; the notation is described at the top of the former. Thread-safe; the table is built at
// first use (under a millisecond) and lives for ever.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

enum class ArgumentKind : std::uint8_t {
  none,
  // scalars
  integer,  // signed 32 bits
  number,   // unsigned or 64-bit signed value shown in decimal
  hex,      // shown in hexadecimal
  flags,    // a named flag set, see flag_sets.h
  mode,     // permission bits, octal
  size,
  offset,  // signed 64 bits
  pid,
  uid,
  gid,
  signal,
  device,
  // descriptors
  fd,
  dirfd,  // AT_FDCWD or a directory; the path argument right after it is resolved against it
  // pointers
  pointer,    // opaque: only the address is recorded
  path,       // C string naming a file
  text,       // any other C string
  buffer,     // bytes; see direction and length
  structure,  // fixed_length bytes, see direction and set (name of the structure); an array of them
              // where the length comes from an argument or the result
  sockaddr,   // see direction and length
  iovec,      // array of struct iovec: length = number of elements; direction tells the bytes' way
  msghdr,     // struct msghdr (direction as for iovec)
  mmsghdr,    // array of struct mmsghdr: length = number of elements
  argv,       // NULL-ended array of C strings
  envp,
};

enum class Direction : std::uint8_t { in, out, in_out };

// Where the length of what a pointer argument points to comes from.
enum class LengthSource : std::uint8_t {
  none,      // scalars, C strings
  fixed,     // fixed_length bytes
  argument,  // args[length_argument] * fixed_length bytes (elements of an iovec: that many)
  result,    // result * fixed_length bytes, when the call succeeded
  pointed,   // args[length_argument] points to a 32-bit length, at entry and exit
  ioctl,     // size bits of the ioctl request in args[length_argument]
  after_argument,  // as argument, behind fixed_length bytes: a message of System V, after its type
  after_result,    // as result, likewise
};

struct ArgumentSpec {
  std::string_view name;
  ArgumentKind kind = ArgumentKind::none;
  Direction direction = Direction::in;
  LengthSource length = LengthSource::none;
  std::uint8_t length_argument = 0;  // index 0..5
  std::uint16_t fixed_length = 0;    // bytes, or bytes of an element (at least 1 for lengths)
  bool mutates = false;              // the object named by this path or fd is changed by the call
  std::uint8_t choice = 0;           // not 0: args[length_argument] decides, see argument_choices.h
  std::string_view set;              // name of the flag set, or of the structure
};

// What a call is about; a call may be in several classes.
enum class SyscallClass : std::uint8_t {
  file,
  process,
  network,
  memory,
  signal,
  ipc,
  time,
  descriptor,
  security,
  mutation,
  system,
};
inline constexpr std::size_t syscall_class_count = 11;
std::string_view syscall_class_name(SyscallClass cls);

struct SyscallSpec {
  std::uint32_t number = 0;
  std::string_view name;
  std::uint8_t argument_count = 0;
  std::array<ArgumentSpec, 6> arguments{};
  ArgumentKind result = ArgumentKind::number;  // fd: a successful call returns a descriptor
  std::uint16_t classes = 0;                   // bit per SyscallClass

  [[nodiscard]] bool is(SyscallClass cls) const {
    return ((classes >> static_cast<unsigned>(cls)) & 1U) != 0;
  }
  [[nodiscard]] bool returns_fd() const { return result == ArgumentKind::fd; }
};

inline constexpr std::uint32_t x32_bit = 0x40000000;  // set in the numbers of x32 calls

// All calls of an ABI, ascending by number. x32 shares the x86-64 table (numbers 512 to 547, where
// they differ, are not described).
std::span<const SyscallSpec> syscalls(Abi abi);

// nullptr for numbers that this table does not know. Constant time.
const SyscallSpec* find_syscall(Abi abi, std::uint32_t number);

// nullptr for unknown names. Constant time.
const SyscallSpec* find_syscall(Abi abi, std::string_view name);

// "openat"; "syscall_0x1ff" for unknown numbers, so that a number never stands alone.
std::string syscall_name(Abi abi, std::uint32_t number);

// Faults found while reading the table's data; empty, as a test asserts.
const std::vector<std::string>& syscall_table_faults();

}  // namespace gyges::recorder
