// The recorder: a capture backend that watches the processes of many sandboxes at once, one session
// per run.
//
// A Recorder is opened once per supervisor process (loading BPF programs costs milliseconds); each
// run gets a Session that writes one trace file. Session::adopt labels a process that waits at its
// start gate; everything it creates from then on is recorded under the same session, whatever it
// does to its parentage.
//
// Thread-safety: a Recorder may start sessions from any thread; one Session is used by one thread
// at a time, but for the marks of tool calls and flush(): once it is open, any thread may call them,
// also while another adopts.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/facility.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/execution.h"

namespace gyges::recorder {

// Tries each facility the recorder can use (BPF load and attach, task storage, task work, ptrace);
// leaves nothing behind.
std::vector<Facility> probe_facilities();

struct RecorderOptions {
  std::uint32_t ring_bytes = 4U << 20U;  // per CPU; a power of two, 64 KiB to 64 MiB
  // Whether operations of io_uring are recorded; no need where no sandbox may use it. ptrace
  // cannot: it says that the record is not complete where a ring was used.
  bool io_uring = true;
};

// The tool call that a program belongs to, 0: none. Called with each program executed by a process
// without a label, in order, by the thread that records; it must not wait for the session.
using CallOfExecution = std::function<std::uint32_t(const ExecutedProgram& program)>;

// Programs that work on one call after the other: servers that were started before. `server_of` is
// asked as call_of is, and names the server that a program starts, 0: none. From then on `call_at`
// says for each event of its processes which call they work on at that time; what they start while
// they work on one belongs to it for good.
struct CallsOfServers {
  std::function<std::uint32_t(const ExecutedProgram& program)> server_of;
  std::function<std::uint32_t(std::uint32_t server, std::uint64_t time_ns)> call_at;
};

struct SessionOptions {
  std::filesystem::path trace_file;  // created; must not exist
  std::uint32_t buffer_bytes = 64;   // leading bytes of each buffer, 0 to 255
  std::uint32_t contents = 0;  // of these descriptors all bytes are recorded, see content_bits()
  std::uint32_t content_bytes = 64U << 10U;  // ... of one call at most so many
  bool record_signals = true;
  CallOfExecution call_of;   // empty: only what is adopted has a label
  CallsOfServers servers{};  // used with call_of; empty: there are none
};

// The bits of SessionOptions::contents for a policy's words: files, pipes, sockets, terminals.
std::uint32_t content_bits(const std::vector<std::string>& words);

class Session {
 public:
  virtual ~Session() = default;

  // The seccomp programs that processes carry when they are adopted from now on, oldest first, each
  // an array of struct sock_filter as bytes. A backend that cannot see who refused a call works it
  // out from them; without them refusals count as failures of allowed calls.
  virtual Status expect_filters(const std::vector<std::string>& programs) {
    static_cast<void>(programs);
    return ok();
  }

  // Of a recorder from open_ahead(): waits until it is open, and fails if it cannot be opened. Call
  // it before anything is run; the other calls do it too.
  virtual Status wait_until_open() { return ok(); }

  // Labels the process behind `pidfd` (host pid `pid`), which must be waiting at its start gate, or
  // have been labelled before and be waiting for input. Its descendants inherit the label at
  // creation. tool_call 0 means none. Of a process with several threads the first gets the label;
  // another one that executes a program, and so takes its place, keeps the label it has.
  virtual Status adopt(int pidfd, pid_t pid, std::uint32_t tool_call) = 0;

  // Marks in the trace.
  virtual Status tool_call_started(std::uint32_t tool_call, std::string_view tool) = 0;
  virtual Status tool_call_ended(std::uint32_t tool_call) = 0;

  // Everything that has happened before the call is in the trace file when it returns, for a reader
  // of the live trace. Each costs a block of the trace.
  virtual Status flush() = 0;

  // Called when no process of the sandbox is left: drains, reconciles, finishes the trace file.
  // A session destroyed without close() leaves a trace that the reader salvages.
  virtual Result<Coverage> close() = 0;
};

class Recorder {
 public:
  // Without a choice: ebpf where it loads, otherwise ptrace.
  static Result<std::unique_ptr<Recorder>> open(std::optional<Backend> choice,
                                                const RecorderOptions& options);
  // Opens in a thread of its own; returns at once. Failures show in Session::wait_until_open(). For
  // one session, after whose end the recorder is taken down in a thread again.
  static std::unique_ptr<Recorder> open_ahead(std::optional<Backend> choice,
                                              const RecorderOptions& options);
  virtual ~Recorder() = default;

  [[nodiscard]] virtual Backend backend() const = 0;
  virtual Result<std::unique_ptr<Session>> start(const SessionOptions& options) = 0;
};

}  // namespace gyges::recorder
