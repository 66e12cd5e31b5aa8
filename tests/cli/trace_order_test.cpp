#include "cli/trace_order.h"
#include "base/json.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/files.h"
#include "base/text.h"
#include "cli/trace_export.h"
#include "sandbox/recorder/format/trace_writer.h"

namespace gyges::cli {
namespace {

using namespace recorder;

class TraceOrder : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges_trace_order");
    ASSERT_TRUE(directory);
    directory_ = std::move(*directory);
    path_ = directory_->path() / "trace.gyt";
  }

  // Calls that end one after the other; every thousandth was entered long before.
  void write(std::uint64_t count) {
    auto writer = TraceWriter::create(path_, Backend::ebpf);
    ASSERT_TRUE(writer);
    Event event;
    event.number = 39;
    event.pid = event.tid = 10;
    for (std::uint64_t i = 0; i < count; ++i) {
      event.time_ns = 1'000'000 + i * 10;
      event.duration_ns = 5;
      if (i % 1000 == 999) {
        event.time_ns = 1'000'003 + i * 5;
        event.duration_ns = i * 5;
      }
      ASSERT_TRUE((*writer)->append(event));
    }
    Coverage coverage;
    ASSERT_TRUE((*writer)->finish(coverage));
  }

  std::optional<TemporaryDirectory> directory_;
  std::filesystem::path path_;
};

TEST_F(TraceOrder, LinesFollowEntryOverTheWholeTrace) {
  constexpr std::uint64_t count = 300'000;
  write(count);
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader);
  std::uint64_t last = 0;
  std::uint64_t lines = 0;
  Status read = for_each_line_by_entry(
      *reader, {},
      [](const Event& event, const auto&, const auto&) { return std::to_string(event.time_ns); },
      [&](const std::string& line) {
        std::uint64_t time = std::stoull(line);
        EXPECT_GE(time, last);
        last = time;
        ++lines;
        return true;
      });
  EXPECT_TRUE(read);
  EXPECT_EQ(lines, count);
}

TEST_F(TraceOrder, StopsWhenAsked) {
  write(5000);
  auto reader = TraceReader::open(path_);
  int lines = 0;
  EXPECT_TRUE(for_each_line_by_entry(
      *reader, {}, [](const Event&, const auto&, const auto&) { return std::string("x"); },
      [&](const std::string&) { return ++lines < 3; }));
  EXPECT_EQ(lines, 3);
}

TEST_F(TraceOrder, DamageIsReportedAfterTheGoodLines) {
  write(100'000);
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  auto reader = TraceReader::open(path_);
  std::uint64_t lines = 0;
  EXPECT_FALSE(for_each_line_by_entry(
      *reader, {}, [](const Event&, const auto&, const auto&) { return std::string("x"); },
      [&](const std::string&) { return ++lines > 0; }));
  EXPECT_EQ(lines, 100'000U);
}

TEST_F(TraceOrder, ExportsHoldEveryEvent) {
  write(2000);
  auto reader = TraceReader::open(path_);
  std::filesystem::path output = directory_->path() / "out";
  ASSERT_TRUE(export_jsonl(*reader, output));
  auto text = read_file(output);
  ASSERT_TRUE(text);
  EXPECT_EQ(std::count(text->begin(), text->end(), '\n'), 2000);
  ASSERT_TRUE(export_perfetto(*reader, output));
  text = read_file(output);
  EXPECT_EQ(nlohmann::json::parse(*text)["traceEvents"].size(), 2000U);
  ASSERT_TRUE(export_sqlite(*reader, output));
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(output.c_str(), &database), SQLITE_OK);
  sqlite3_stmt* count = nullptr;
  sqlite3_prepare_v2(database, "SELECT count(*) FROM events WHERE syscall='getpid'", -1, &count,
                     nullptr);
  ASSERT_EQ(sqlite3_step(count), SQLITE_ROW);
  EXPECT_EQ(sqlite3_column_int(count, 0), 2000);
  sqlite3_finalize(count);
  sqlite3_close(database);
  EXPECT_FALSE(export_sqlite(*reader, "/nonexistent/directory/x"));
  EXPECT_FALSE(export_jsonl(*reader, "/nonexistent/directory/x"));
}

}  // namespace
}  // namespace gyges::cli
