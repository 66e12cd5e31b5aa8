// Records a child of the test through one backend and keeps the events in memory.
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "sandbox/recorder/capture/backend.h"

namespace gyges::recorder {

struct KeptCapture {
  std::uint8_t argument;
  CaptureKind kind;
  Provenance provenance;
  bool truncated;
  std::uint32_t full_length;
  std::string bytes;
};

struct KeptEvent {
  Event event;  // its captures are below
  std::vector<KeptCapture> captures;

  // The bytes of the first capture of that kind and argument; "-" where there is none.
  [[nodiscard]] std::string capture(CaptureKind kind, int argument = -1) const;
  // The kernel's name of the file that the call returned or executed.
  [[nodiscard]] std::string named_file() const {
    const std::string identity = capture(CaptureKind::file_identity, result_argument);
    return identity.size() > sizeof(FileIdentity) ? identity.substr(sizeof(FileIdentity)) : "-";
  }
};

using Events = std::vector<KeptEvent>;

// "name(arguments) = result" as it is shown to people, without names of descriptors.
std::string text_of(const KeptEvent& kept);

// Shared with the sink, which the session owns.
class KeepingSink final : public EventSink {
 public:
  explicit KeepingSink(std::shared_ptr<Events> events) : events_(std::move(events)) {}
  Status append(const Event& event) override;
  Status finish(Coverage& coverage) override;

 private:
  std::shared_ptr<Events> events_;
};

// A child that waits at its start gate.
class GatedChild {
 public:
  // `body` runs in the child after the gate has opened; its result is the exit status.
  explicit GatedChild(const std::function<int()>& body);
  ~GatedChild();
  GatedChild(const GatedChild&) = delete;
  GatedChild& operator=(const GatedChild&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  void open_gate();
  int wait();  // the wait status

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd gate_;
};

struct Recording {
  Events events;
  Coverage coverage;
  int status = 0;
  pid_t pid = 0;

  // System calls of that name, in trace order.
  [[nodiscard]] std::vector<const KeptEvent*> calls(std::string_view name) const;
  [[nodiscard]] std::vector<const KeptEvent*> of_kind(EventKind kind) const;
};

// Runs a shell command line; the body of a GatedChild.
std::function<int()> shell(const std::string& command);
std::function<int()> program(std::vector<std::string> argv);

Recording record(CaptureBackend& backend, const std::function<int()>& body,
                 std::uint32_t tool_call = 0, const SessionOptions& options = {});

// Waits until no process but the test itself is left in its subtree (the test is a subreaper).
void reap_everything();

}  // namespace gyges::recorder
