// Which calls make a record incomplete where operations of io_uring cannot be seen.
#include "sandbox/recorder/capture/coverage_notes.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cerrno>
#include <vector>

#include "sandbox/recorder/capture/event_joiner.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

class NoSink final : public EventSink {
 public:
  Status append(const Event&) override { return ok(); }
  Status finish(Coverage&) override { return ok(); }
};

// A call from its two records.
bool joined(std::uint32_t number, wire::u8 abi, std::int64_t result, bool returns = true) {
  NoSink sink;
  EventJoiner joiner(sink, true);
  wire::enter_record enter{};
  enter.head = {.size = sizeof(enter), .kind = wire::record_enter, .abi = abi, .tid = 7};
  enter.number = number;
  EXPECT_TRUE(joiner.take(enter.head));
  wire::exit_record exit{};
  exit.head = {.size = sizeof(exit), .kind = wire::record_exit, .abi = abi, .tid = 7};
  exit.result = result;
  if (returns) {
    EXPECT_TRUE(joiner.take(exit.head));
  }
  EXPECT_TRUE(joiner.finish());
  return joiner.uses_io_uring();
}

TEST(UseOfIoUring, IsARingThatWasMadeOrUsed) {
  EXPECT_TRUE(joined(SYS_io_uring_setup, 0, 3));
  EXPECT_TRUE(joined(SYS_io_uring_setup, 0, 0));
  EXPECT_TRUE(joined(SYS_io_uring_setup, 1, 3));
  EXPECT_TRUE(joined(SYS_io_uring_setup | x32_bit, 2, 3));
  EXPECT_TRUE(joined(SYS_io_uring_enter, 0, 1));
}

TEST(UseOfIoUring, IsNoCallThatFailedOrDoesSomethingElse) {
  EXPECT_FALSE(joined(SYS_io_uring_setup, 0, -EPERM));
  EXPECT_FALSE(joined(SYS_io_uring_setup, 0, 0, false));
  EXPECT_FALSE(joined(SYS_io_uring_register, 0, 0));
  EXPECT_FALSE(joined(SYS_openat, 0, 3));
}

}  // namespace
}  // namespace gyges::recorder
