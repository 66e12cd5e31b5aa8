// The event model of the trace: what one recorded thing is, independent of how it was captured
// (BPF, ptrace) and how it is stored (trace file).
//
// Events are views: `captures` and the bytes in them belong to whoever made the event and are valid
// only during the call that hands it over. Times are nanoseconds of CLOCK_MONOTONIC.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace gyges::recorder {

enum class EventKind : std::uint8_t {
  syscall = 1,      // one system call, entry and exit joined
  process_start,    // a task was created: args[0] = clone flags, result = host tid of the new task
  process_exec,     // an image was replaced: captures hold the kernel's identity of the executable
                    // and, as absolute_path of argument 0, the working directory
  process_exit,     // a task ended: result = wait status
  signal,           // a signal was delivered: args[0] = signal number, args[1] = si_code
  tool_call_start,  // capture `text` holds the tool's name
  tool_call_end,
  recorder_wait,  // a task was held back because the recorder was behind: duration_ns
  io_uring,  // an operation submitted through io_uring: args[0] = opcode, args[1] = descriptor,
             // args[2] = user_data, args[3] = flags of the request; result and duration_ns up
             // to its completion, without which has_exit is false
  path_disagreement,  // follows a system call that opened another object than its path leads to:
                      // number, abi, times and captures of that call; args[0] = the path's argument
  content,  // a piece of what a call moved, where the policy asks for whole contents; pieces follow
            // their call in order: number and abi of the call, args[0] = descriptor, args[1] =
            // offset of the first byte, args[2] = bytes that the call moved; one capture, truncated
            // if what follows it is not recorded
};

enum class Abi : std::uint8_t { x86_64 = 0, i386 = 1, x32 = 2 };

// What the kernel did with the call.
enum class Verdict : std::uint8_t {
  allowed,   // the kernel executed it, successfully or not
  refused,   // seccomp answered instead of the kernel
  emulated,  // a supervisor answered instead of the kernel
  killed,    // the task was killed at this call
};

enum class CaptureKind : std::uint8_t {
  path = 1,       // a C string naming a file, as the program passed it
  text,           // any other C string
  buffer_in,      // leading bytes of a buffer the program passed
  buffer_out,     // leading bytes of a buffer the kernel filled
  structure_in,   // a fixed-size structure the program passed
  structure_out,  // a fixed-size structure the kernel filled
  sockaddr_in,
  sockaddr_out,
  argv,      // strings, each ended by NUL
  envp,      // strings, each ended by NUL
  iovec_in,  // bytes gathered from an iovec
  iovec_out,
  file_identity,  // FileIdentity: the object the kernel used, for a returned or given fd
  socket_peer,    // sockaddr of the peer as the kernel knows it
  absolute_path,  // the path against its directory descriptor, as the kernel names the object
};

// Where a captured field was read, and so how far it can be trusted.
enum class Provenance : std::uint8_t {
  enter,       // from user memory at entry: what the program asked; racy against sibling threads
  exit_retry,  // from user memory at exit, because the page was absent at entry
  kernel,      // from the kernel's own objects: cannot lie
  missing,     // could not be read
  exit,        // from user memory at exit: what the kernel had left there; racy like enter
};

// Kernel's identity of an open file. Stored little-endian, followed by the object's name or path
// (not NUL-terminated) up to the end of the capture.
struct FileIdentity {
  std::uint64_t inode;
  std::uint32_t device_major;
  std::uint32_t device_minor;
  std::uint32_t mode;  // st_mode
  std::uint32_t descriptor;  // 1 + that of a file that came with a message; 0 for others
};
static_assert(sizeof(FileIdentity) == 24);

inline constexpr std::uint8_t result_argument = 6;  // Capture::argument of what a call returned

struct Capture {
  std::uint8_t argument = 0;  // index 0..5, or result_argument
  CaptureKind kind = CaptureKind::text;
  Provenance provenance = Provenance::enter;
  bool truncated = false;         // the object is longer than the bytes here
  std::uint32_t full_length = 0;  // length of the object where known, else the length of bytes
  std::string_view bytes;
};

struct Event {
  std::uint64_t sequence = 0;  // position in the trace, from 0, without gaps; set by the writer
  EventKind kind = EventKind::syscall;
  Abi abi = Abi::x86_64;
  Verdict verdict = Verdict::allowed;
  bool has_enter = true;      // false: the kernel reported only the exit (denied calls)
  bool has_exit = true;       // false: the task ended inside the call (exit_group, killed)
  std::uint32_t number = 0;   // syscall number of `abi`
  std::uint64_t time_ns = 0;  // entry, or the moment of the event
  std::uint64_t duration_ns = 0;
  std::int32_t pid = 0;  // thread group, as the host sees it
  std::int32_t tid = 0;
  std::int32_t inside_pid = 0;  // as the sandbox sees it; 0 where unknown
  std::int32_t inside_tid = 0;
  std::uint32_t origin_call = 0;  // tool call that started this process tree; 0: none
  std::uint32_t active_call = 0;  // tool call in progress for this task; 0: none
  std::array<std::uint64_t, 6> args{};
  std::int64_t result = 0;  // raw: -errno on failure
  std::span<const Capture> captures;
};

// What the kernel and the recorder counted; a trace is complete when they agree.
struct Counters {
  std::uint64_t enters = 0;  // counted in the kernel
  std::uint64_t exits = 0;
  std::uint64_t recorded_enters = 0;  // arrived at the writer
  std::uint64_t recorded_exits = 0;
  std::uint64_t lost = 0;   // records that the kernel side could not hand over
  std::uint64_t waits = 0;  // times a task was held back
};

}  // namespace gyges::recorder
