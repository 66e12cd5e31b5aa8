// Whole contents by class of descriptor, compared with what was written.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "capture_fixture.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

std::string sample(std::size_t length) {
  std::string bytes(length, '\0');
  std::uint32_t state = 12345;
  for (char& c : bytes) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24U);
  }
  return bytes;
}

class ContentsTest : public CaptureTest {
 protected:
  void SetUp() override {
    CaptureTest::SetUp();
    auto made = TemporaryDirectory::create("gyges_contents_");
    ASSERT_TRUE(made);
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*made));
  }
  [[nodiscard]] std::string file() const { return directory_->path() / "file"; }

  void run(const std::vector<std::string>& classes, const std::function<int()>& body,
           std::uint32_t most = 1U << 20U) {
    SessionOptions options;
    options.contents = content_bits(classes);
    options.content_bytes = most;
    recording_ = record(*backend_, body, 0, options);
    EXPECT_EQ(recording_.status, 0);
    EXPECT_TRUE(recording_.coverage.complete);
    EXPECT_EQ(recording_.coverage.counters.lost, 0U);
  }

  // All that calls of that name moved, in order; checks that the pieces fit together.
  std::string moved_by(std::string_view name) {
    std::string bytes;
    std::uint64_t next = 0;
    for (const KeptEvent* kept : recording_.of_kind(EventKind::content)) {
      const Event& event = kept->event;
      if (syscall_name(event.abi, event.number) != name) continue;
      if (name == "read" && event.args[2] == 1) continue;  // of the start gate, a pipe too
      EXPECT_EQ(event.args[1], next);
      EXPECT_EQ(kept->captures.size(), 1U);
      const KeptCapture& piece = kept->captures.front();
      EXPECT_EQ(piece.provenance, Provenance::exit);
      bytes += piece.bytes;
      next += piece.bytes.size();
      truncated_ = truncated_ || piece.truncated;
      if (next == event.args[2] || piece.truncated) next = 0;
    }
    EXPECT_EQ(next, 0U) << name;
    return bytes;
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  Recording recording_;
  bool truncated_ = false;
};

INSTANTIATE_TEST_SUITE_P(Backends, ContentsTest, both_backends, backend_of_test);

TEST_P(ContentsTest, WhatIsWrittenToFilesIsThereByteForByte) {
  const std::string all = sample(100000);
  run({"files"}, [&] {
    const int fd = open(file().c_str(), O_CREAT | O_RDWR, 0600);
    char* const data = const_cast<char*>(all.data());
    if (write(fd, data, 40000) != 40000) return 1;
    iovec pieces[] = {
        {data + 40000, 1}, {data + 40001, 0}, {data + 40001, 29999}, {data + 70000, 5000}};
    if (writev(fd, pieces, 4) != 35000) return 2;
    if (pwrite64(fd, data + 75000, 25000, 75000) != 25000) return 3;
    std::string back(100000, 'x');
    return pread64(fd, back.data(), back.size(), 0) == 100000 && back == all ? 0 : 4;
  });
  const Result<std::string> written = read_file(file());
  ASSERT_TRUE(written);
  ASSERT_EQ(written->size(), all.size());
  EXPECT_TRUE(moved_by("write") + moved_by("writev") + moved_by("pwrite64") == *written);
  EXPECT_TRUE(moved_by("pread64") == *written);
  EXPECT_FALSE(truncated_);
}

TEST_P(ContentsTest, OnlyTheClassesAskedFor) {
  const auto body = [] {
    const Pipe pipe = *make_pipe();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 1;
    const std::string text = sample(9000);
    std::string back(9000, 'x');
    if (write(pipe.write.get(), text.data(), 9000) != 9000) return 2;
    if (read(pipe.read.get(), back.data(), 9000) != 9000) return 3;
    if (send(ends[0], text.data(), 300, 0) != 300) return 4;
    iovec piece{back.data(), 300};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    return recvmsg(ends[1], &message, 0) == 300 ? 0 : 5;
  };
  run({"pipes"}, body);
  EXPECT_TRUE(moved_by("write") == sample(9000));
  EXPECT_TRUE(moved_by("read") == sample(9000));
  EXPECT_TRUE(moved_by("sendto").empty());
  run({"sockets"}, body);
  EXPECT_TRUE(moved_by("write").empty());
  EXPECT_TRUE(moved_by("sendto") == sample(9000).substr(0, 300));
  EXPECT_TRUE(moved_by("recvmsg") == sample(9000).substr(0, 300));
  run({}, body);
  EXPECT_TRUE(recording_.of_kind(EventKind::content).empty());
}

// More than is to be kept of one call: what is there is right, and that more was moved is said.
TEST_P(ContentsTest, WhatIsCutIsMarked) {
  const std::string all = sample(1U << 20U);
  run(
      {"files"},
      [&] {
        const int fd = open(file().c_str(), O_CREAT | O_RDWR, 0600);
        return write(fd, all.data(), all.size()) == static_cast<ssize_t>(all.size()) ? 0 : 1;
      },
      100000);
  const std::string kept = moved_by("write");
  EXPECT_TRUE(truncated_);
  EXPECT_EQ(kept.size(), 100000U);
  EXPECT_TRUE(kept == all.substr(0, kept.size()));
  std::uint64_t total = 0;
  for (const KeptEvent* event : recording_.of_kind(EventKind::content))
    total = event->event.args[2];
  EXPECT_EQ(total, all.size());
}

// A result that equals the call's number is first taken for a refusal by seccomp: its contents
// follow it all the same.
TEST_P(ContentsTest, OneByte) {
  run({"pipes"}, [] {
    const Pipe pipe = *make_pipe();
    return write(pipe.write.get(), "x", 1) == 1 && write(pipe.write.get(), "yz", 2) == 2 ? 0 : 1;
  });
  EXPECT_EQ(moved_by("write"), "xyz");
  std::vector<EventKind> order;
  for (const KeptEvent& kept : recording_.events)
    if (syscall_name(kept.event.abi, kept.event.number) == "write" &&
        (kept.event.kind == EventKind::syscall || kept.event.kind == EventKind::content))
      order.push_back(kept.event.kind);
  const std::vector<EventKind> wanted = {EventKind::syscall, EventKind::content, EventKind::syscall,
                                         EventKind::content};
  EXPECT_EQ(order, wanted);
}

// Lists that are not what they say, and a descriptor that is none of the classes.
TEST_P(ContentsTest, NothingIsMadeUp) {
  run({"files", "pipes"}, [] {
    const int file = memfd_create("half", MFD_CLOEXEC);
    iovec pieces[] = {{const_cast<char*>("abc"), 3}, {reinterpret_cast<void*>(16), 5}};
    // The kernel takes what it can read; so does the record.
    if (writev(file, pieces, 2) != 3) return 1;
    const int null = open("/dev/null", O_WRONLY);
    return write(null, "unseen", 6) == 6 ? 0 : 2;
  });
  EXPECT_EQ(moved_by("writev"), "abc");
  EXPECT_EQ(moved_by("write"), "");
}

// A thousand pieces of one byte, in a ring that holds fewer records: cut, and nothing is lost.
TEST(ContentsOfASmallRing, AreCutAndNotLost) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  RecorderOptions small;
  small.ring_bytes = 64U << 10U;
  auto backend = open_bpf_backend(small);
  ASSERT_TRUE(backend) << backend.error().line();
  SessionOptions options;
  options.contents = content_bits({"files"});
  const auto body = [] {
    const int file = memfd_create("small", MFD_CLOEXEC);
    const std::string bytes = sample(1024);
    std::vector<iovec> pieces;
    for (const char& c : bytes) pieces.push_back({const_cast<char*>(&c), 1});
    for (int i = 0; i < 20; ++i)
      if (writev(file, pieces.data(), 1024) != 1024) return 1;
    return 0;
  };
  const Recording recording = record(**backend, body, 0, options);
  EXPECT_EQ(recording.status, 0);
  EXPECT_TRUE(recording.coverage.complete);
  EXPECT_EQ(recording.coverage.counters.lost, 0U);
  EXPECT_EQ(recording.calls("writev").size(), 20U);
  const std::string all = sample(1024);
  int ends = 0;
  for (const KeptEvent* kept : recording.of_kind(EventKind::content)) {
    const KeptCapture& piece = kept->captures.at(0);
    EXPECT_EQ(piece.bytes, all.substr(kept->event.args[1], piece.bytes.size()));
    ends += piece.truncated || kept->event.args[1] + piece.bytes.size() == 1024 ? 1 : 0;
  }
  EXPECT_EQ(ends, 20);
}

}  // namespace
}  // namespace gyges::recorder
