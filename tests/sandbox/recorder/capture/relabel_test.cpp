// A running process gets the label of another tool call while it makes calls: a tool server or a
// shell that lives through many tool calls is labelled anew at each of them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <set>
#include <string_view>

#include "capture_fixture.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

class RelabelTest : public CaptureTest {};
INSTANTIATE_TEST_SUITE_P(Backends, RelabelTest, both_backends, backend_of_test);

// What the record says of a process that only asks for its parent and reads bytes of a pipe.
struct Findings {
  std::uint64_t getppid = 0, read = 0, other = 0;
  std::uint64_t wrong_getppid = 0, wrong_read = 0;
  std::uint64_t denied = 0;       // no entry, or another verdict than allowed
  std::uint64_t endless = 0;      // no exit
  std::uint64_t overlapping = 0;  // began before the one before it was over
  std::set<std::uint32_t> calls;  // tool calls that events belong to
  std::set<std::uint32_t> calls_of_children;
};

// Too many events to keep.
class CheckingSink final : public EventSink {
 public:
  CheckingSink(std::shared_ptr<Findings> findings, pid_t pid, std::uint64_t descriptor)
      : findings_(std::move(findings)), pid_(pid), descriptor_(descriptor) {}

  Status append(const Event& event) override {
    if (event.kind != EventKind::syscall) return ok();
    if (event.pid != pid_) {
      findings_->calls_of_children.insert(event.origin_call);
      findings_->calls_of_children.insert(event.active_call);
      return ok();
    }
    findings_->calls.insert(event.active_call);
    const std::string name = syscall_name(event.abi, event.number);
    if (name == "exit_group") return ok();  // it has no exit
    findings_->denied += event.has_enter && event.verdict == Verdict::allowed ? 0 : 1;
    findings_->endless += event.has_exit ? 0 : 1;
    findings_->overlapping += event.time_ns < over_ns_ ? 1 : 0;
    over_ns_ = event.time_ns + event.duration_ns;
    if (name == "getppid") {
      ++findings_->getppid;
      findings_->wrong_getppid += event.result == parent_ ? 0 : 1;
    } else if (name == "read" && event.args[0] == descriptor_) {
      ++findings_->read;
      findings_->wrong_read += event.result == 1 && event.args[2] == 1 ? 0 : 1;
    } else {
      ++findings_->other;
    }
    return ok();
  }
  Status finish(Coverage& coverage) override {
    static_cast<void>(coverage);
    return ok();
  }

 private:
  std::shared_ptr<Findings> findings_;
  pid_t pid_;
  pid_t parent_ = getpid();  // asked here: ptrace appends from a process of its own
  std::uint64_t descriptor_;
  std::uint64_t over_ns_ = 0;
};

TEST_P(RelabelTest, ARunningProcessKeepsTheCallThatItIsIn) {
  constexpr char last_byte = 'z';
  constexpr std::uint32_t last_call = 1000;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  ASSERT_EQ(fcntl(out.get(), F_SETFL, O_NONBLOCK), 0);
  GatedChild child([&] {
    for (char byte = 0; byte != last_byte;) {
      if (syscall(SYS_getppid) <= 0 || syscall(SYS_read, in.get(), &byte, 1) != 1) return 1;
    }
    const pid_t grandchild = fork();
    if (grandchild == 0) _exit(syscall(SYS_getpgrp) > 0 ? 0 : 1);
    int status = 1;
    return waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 2;
  });
  auto found = std::make_shared<Findings>();
  auto session = backend_->start_with(
      std::make_unique<CheckingSink>(found, child.pid(), static_cast<std::uint64_t>(in.get())), {});
  ASSERT_TRUE(session) << session.error().line();
  ASSERT_TRUE((*session)->adopt(child.pidfd(), child.pid(), 1));
  child.open_gate();
  // Now ahead of the process, which then is between two calls or in one of them, now behind it,
  // when it waits in its read.
  const std::array<char, 256> bytes{};
  std::uint64_t sent = 0;
  std::uint32_t labels = 1;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    const ssize_t size = write(out.get(), bytes.data(), labels % 2 == 0 ? bytes.size() : 1);
    if (size > 0) sent += static_cast<std::uint64_t>(size);
    const Status labelled = (*session)->adopt(child.pidfd(), child.pid(), 1 + labels % 2);
    ASSERT_TRUE(labelled) << labelled.error().line();
    ++labels;
  }
  ASSERT_TRUE((*session)->adopt(child.pidfd(), child.pid(), last_call));
  ASSERT_EQ(fcntl(out.get(), F_SETFL, 0), 0);
  ASSERT_EQ(write(out.get(), &last_byte, 1), 1);
  ++sent;
  EXPECT_EQ(child.wait(), 0);
  const Result<Coverage> coverage = (*session)->close();
  ASSERT_TRUE(coverage) << coverage.error().line();
  EXPECT_TRUE(coverage->complete);
  EXPECT_GT(labels, 100U);
  EXPECT_GT(sent, 1000U);
  EXPECT_EQ(found->denied, 0U);
  EXPECT_EQ(found->endless, 0U);
  EXPECT_EQ(found->overlapping, 0U);
  EXPECT_EQ(found->getppid, sent);
  EXPECT_EQ(found->wrong_getppid, 0U);
  EXPECT_EQ(found->read, sent);
  EXPECT_EQ(found->wrong_read, 0U);
  EXPECT_EQ(found->calls, (std::set<std::uint32_t>{1, 2, last_call}));
  EXPECT_EQ(found->calls_of_children, (std::set<std::uint32_t>{last_call}));
  RecordProperty("labels", static_cast<int>(labels));
  RecordProperty("calls", static_cast<int>(sent));
}

}  // namespace
}  // namespace gyges::recorder
