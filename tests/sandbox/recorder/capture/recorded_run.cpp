#include "recorded_run.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

std::string KeptEvent::capture(CaptureKind kind, int argument) const {
  for (const KeptCapture& kept : captures)
    if (kept.kind == kind && (argument < 0 || kept.argument == argument)) return kept.bytes;
  return "-";
}

std::string text_of(const KeptEvent& kept) {
  std::vector<Capture> captures;
  for (const KeptCapture& c : kept.captures)
    captures.push_back({c.argument, c.kind, c.provenance, c.truncated, c.full_length, c.bytes});
  Event event = kept.event;
  event.captures = captures;
  return format_event(event);
}

Status KeepingSink::append(const Event& event) {
  KeptEvent kept{event, {}};
  for (const Capture& c : event.captures)
    kept.captures.push_back(
        {c.argument, c.kind, c.provenance, c.truncated, c.full_length, std::string(c.bytes)});
  kept.event.captures = {};
  kept.event.sequence = events_->size();
  events_->push_back(std::move(kept));
  return ok();
}

Status KeepingSink::finish(Coverage& coverage) {
  coverage.events = events_->size();
  return ok();
}

GatedChild::GatedChild(const std::function<int()>& body) {
  Pipe gate = *make_pipe();
  pid_ = fork();
  if (pid_ == 0) {
    gate.write.reset();
    char go = 0;
    if (read(gate.read.get(), &go, 1) != 1) _exit(99);
    _exit(body());
  }
  pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  gate_ = std::move(gate.write);
}

GatedChild::~GatedChild() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  wait();
}

void GatedChild::open_gate() {
  ASSERT_EQ(write(gate_.get(), "g", 1), 1);
}

int GatedChild::wait() {
  int status = 0;
  EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
  pid_ = -1;
  return status;
}

std::vector<const KeptEvent*> Recording::calls(std::string_view name) const {
  std::vector<const KeptEvent*> found;
  for (const KeptEvent& kept : events)
    if (kept.event.kind == EventKind::syscall &&
        syscall_name(kept.event.abi, kept.event.number) == name)
      found.push_back(&kept);
  return found;
}

std::vector<const KeptEvent*> Recording::of_kind(EventKind kind) const {
  std::vector<const KeptEvent*> found;
  for (const KeptEvent& kept : events)
    if (kept.event.kind == kind) found.push_back(&kept);
  return found;
}

std::function<int()> program(std::vector<std::string> argv) {
  return [argv = std::move(argv)] {
    std::vector<char*> pointers;
    for (const std::string& argument : argv)
      pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    execv(pointers[0], pointers.data());
    return 127;
  };
}

std::function<int()> shell(const std::string& command) {
  return program({"/bin/sh", "-c", command});
}

Recording record(CaptureBackend& backend, const std::function<int()>& body, std::uint32_t tool_call,
                 const SessionOptions& options) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  Recording run;
  auto events = std::make_shared<Events>();
  auto session = backend.start_with(std::make_unique<KeepingSink>(events), options);
  EXPECT_TRUE(session) << session.error().line();
  if (!session) return run;
  GatedChild child(body);
  run.pid = child.pid();
  const Status adopted = (*session)->adopt(child.pidfd(), child.pid(), tool_call);
  EXPECT_TRUE(adopted) << adopted.error().line();
  if (!adopted) return run;
  child.open_gate();
  run.status = child.wait();
  reap_everything();
  Result<Coverage> coverage = (*session)->close();
  EXPECT_TRUE(coverage) << coverage.error().line();
  if (coverage) run.coverage = *coverage;
  run.events = std::move(*events);
  return run;
}

void reap_everything() {
  while (waitpid(-1, nullptr, __WALL) > 0 || errno == EINTR) {
  }
}

}  // namespace gyges::recorder
