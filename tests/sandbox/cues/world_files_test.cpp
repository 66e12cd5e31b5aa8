#include "sandbox/cues/world_files.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "base/files.h"
#include "base/text.h"

namespace gyges::cues {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TemplateContext context(std::uint64_t seed = 3) {
  TemplateContext made;
  made.day = *parse_day("2026-11-21");
  made.seed = seed;
  made.numbers = {made.day - 30 * 86400, 0.5};
  return made;
}

json series() {
  return json::parse(R"json([{
    "path": "/srv/x/x-{{date \"%Y%m%d\"}}.log",
    "ages": {"from": 1, "to": 31, "step": 10, "jitter": 2},
    "lines": [20, 40],
    "time_format": "%H:%M:%S.{ms}",
    "header": ["# {{date}}"],
    "patterns": [{"text": "{time} {int:5:9} {norm:10:1:2} {hex:4} {pick:a|b} {\"k\": {seq}} {x}", "weight": 3}, {"text": "rare", "weight": 0.1}]
  }])json");
}

std::vector<isolation::SeedFile> made(const json& value, std::uint64_t seed = 3) {
  auto list = log_series_from_json(value, "s");
  if (!list) throw std::runtime_error(list.error().line());
  std::vector<isolation::SeedFile> files;
  for (const auto& one : *list)
    if (auto done = make_log_files(one, context(seed), files, nullptr); !done)
      throw std::runtime_error(done.error().line());
  return files;
}

TEST(LogSeries, MakesDatedFilesOfSortedLines) {
  auto files = made(series());
  ASSERT_THAT(files, SizeIs(4));
  for (const auto& file : files) {
    auto lines = split(file.content, '\n');
    ASSERT_GE(lines.size(), 22U);
    EXPECT_LE(lines.size(), 42U);
    std::string day = lines[0].substr(2);
    std::string digits = day.substr(0, 4) + day.substr(5, 2) + day.substr(8, 2);
    EXPECT_EQ(file.path, "/srv/x/x-" + digits + ".log");
    static const std::regex line(
        R"re(\d\d:\d\d:\d\d\.\d\d\d [5-9] \d+\.\d\d [0-9a-f]{4} [ab] \{"k": \d+\} \{x\}|rare)re");
    std::string last;
    for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
      EXPECT_TRUE(std::regex_match(lines[i], line)) << lines[i];
      if (lines[i] == "rare") continue;
      EXPECT_GE(lines[i].substr(0, 12), last);
      last = lines[i].substr(0, 12);
    }
    EXPECT_GE(file.mtime, *parse_day(day));
    EXPECT_LE(file.mtime, context().day);
  }
}

// Of cron, of a timer with its delay, of a day of the week; between them what comes by chance.
TEST(LogSeries, LinesComeAtTheirTimes) {
  const json value = json::parse(R"json([{
    "path": "/var/log/x.{{index}}",
    "ages": {"from": 1, "to": 7, "step": 1},
    "lines": [5, 5],
    "time_format": "%a %H:%M:%S",
    "patterns": [
      {"text": "{time} [{pid}] quarter", "every_minutes": 15, "from_minutes": 0.02},
      {"text": "{time} [{pid}] begins", "then": ["{time} [{pid}] ends"], "every_minutes": 720,
       "from_minutes": 10, "spread_minutes": 30},
      {"text": "{time} [{pid}] weekly", "every_minutes": 1440, "from_minutes": 600, "weekday": 0},
      {"text": "{time} [{pid}] chance"}
    ]}])json");
  const auto files = made(value);
  ASSERT_THAT(files, SizeIs(7));
  std::size_t weekly = 0;
  unsigned long newest = 0;
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    std::size_t quarters = 0, chances = 0;
    std::string begun;
    for (const std::string& line : split(file->content, '\n')) {
      if (line.empty()) continue;
      const std::string number = line.substr(line.find('[') + 1);
      if (line.ends_with(" ends")) {
        // Within seconds, by the same process.
        EXPECT_EQ(number.substr(0, number.find(']')), begun);
        EXPECT_LT(line.substr(4, 6), "12:41:");
        begun.clear();
        continue;
      }
      const unsigned long process = std::stoul(number);
      EXPECT_GT(process, newest) << line;
      newest = process;
      if (line.ends_with(" quarter")) {
        EXPECT_TRUE(std::regex_search(line, std::regex(":(00|15|30|45):01 "))) << line;
        ++quarters;
      }
      if (line.ends_with(" begins")) {
        EXPECT_TRUE(std::regex_search(line, std::regex(" (00|12):[1-3][0-9]:"))) << line;
        begun = number.substr(0, number.find(']'));
      }
      if (line.ends_with(" weekly")) {
        EXPECT_THAT(line, testing::StartsWith("Sun 10:00:00"));
        ++weekly;
      }
      if (line.ends_with(" chance")) ++chances;
    }
    EXPECT_EQ(quarters, 96U);
    EXPECT_EQ(chances, 5U);
  }
  EXPECT_EQ(weekly, 1U);
  EXPECT_LT(newest, 400 + 0.5 * 86400 * 30);
  EXPECT_EQ(made(value)[3].content, files[3].content);
}

TEST(LogSeries, AFileCanCoverDays) {
  const json value = json::parse(R"json([{
    "path": "/var/log/x", "ages": {"from": 1, "to": 1, "step": 1}, "days": 7, "hours": [6, 16],
    "lines": [60, 60], "time_format": "%d %H",
    "patterns": [{"text": "{time}"},
                 {"text": "{time} daily", "every_minutes": 1440, "from_minutes": 1380}]}])json");
  std::set<std::string> days;
  std::size_t daily = 0;
  std::string last;
  for (const std::string& line : split(made(value)[0].content, '\n')) {
    if (line.empty()) continue;
    EXPECT_GE(line, last);
    last = line;
    days.insert(line.substr(0, 2));
    if (line.ends_with("daily")) ++daily;
    if (!line.ends_with("daily")) {
      EXPECT_GE(line.substr(3, 2), "06");
      EXPECT_LT(line.substr(3, 2), "16");
    }
  }
  EXPECT_THAT(days, SizeIs(7));
  EXPECT_EQ(daily, 7U);
  EXPECT_TRUE(days.contains("14"));
  EXPECT_TRUE(days.contains("20"));
}

TEST(LogSeries, NumbersOfProcessesAreAMachines) {
  auto list = log_series_from_json(json::parse(R"json([{
    "path": "/x", "ages": {"from": 1, "to": 1, "step": 1}, "lines": [1, 1],
    "patterns": [{"text": "{pid}"}]}])json"),
                                   "s");
  ASSERT_TRUE(list);
  TemplateContext without = context();
  without.numbers.reset();
  std::vector<isolation::SeedFile> files;
  auto failed = make_log_files(list->front(), without, files, nullptr);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().line(), HasSubstr("{pid}"));
  EXPECT_TRUE(make_log_files(list->front(), context(), files, nullptr));
}

TEST(LogSeries, SameSeedSameBytes) {
  EXPECT_EQ(made(series())[2].content, made(series())[2].content);
  EXPECT_NE(made(series())[2].content, made(series(), 4)[2].content);
}

TEST(LogSeries, MistakesAreErrors) {
  auto error_of = [](const char* pointer, const json& value) {
    json bad = series();
    bad[0][json::json_pointer(pointer)] = value;
    auto list = log_series_from_json(bad, "s");
    if (!list) return list.error().line();
    std::vector<isolation::SeedFile> files;
    auto done = make_log_files(list->front(), context(), files, nullptr);
    return done ? std::string() : done.error().line();
  };
  EXPECT_THAT(error_of("/patterns/0/text", "{int:5}"), HasSubstr("cannot read the token"));
  EXPECT_THAT(error_of("/patterns/0/text", "{norm:1:2:x}"), HasSubstr("cannot read the token"));
  EXPECT_THAT(error_of("/patterns/0/text", "{hex:"), HasSubstr("cannot read the token"));
  EXPECT_THAT(error_of("/ages/to", 0), HasSubstr("/ages"));
  EXPECT_THAT(error_of("/ages/step", 0.001), HasSubstr("5000 files"));
  EXPECT_THAT(error_of("/lines", json::array({9, 1})), HasSubstr("/lines"));
  EXPECT_THAT(error_of("/path", "/srv/{{nothing}}"), HasSubstr("unknown placeholder"));
}

TEST(WorldFiles, ContentComesFromExactlyOnePlace) {
  auto directory = TemporaryDirectory::create("gyges-world");
  ASSERT_TRUE(directory);
  ASSERT_TRUE(write_file_atomically(directory->path() / "a.txt", "day {{date}}\n"));
  std::string hashed;
  auto read = [&](const char* text) {
    return world_files_from_json(json::parse(text), directory->path(), "s", hashed);
  };
  auto files = read(R"([{"path":"/a","from":"a.txt","age_days":0.5,"mode":"0600","owner":"root"},
                        {"path":"/b","text":["x","y"]},{"path":"/c","link":"/a"},
                        {"path":"/d","directory":true},{"path":"/e","text":"{{","verbatim":true}])");
  ASSERT_TRUE(files) << files.error().line();
  EXPECT_THAT(hashed, HasSubstr("day {{date}}"));
  auto seed = make_seed_file(files->at(0), context(), nullptr);
  ASSERT_TRUE(seed);
  EXPECT_EQ(seed->content, "day 2026-11-21\n");
  EXPECT_EQ(seed->mode, 0600U);
  EXPECT_FALSE(seed->agent_owned);
  EXPECT_EQ(seed->mtime, context().day - 43200);
  EXPECT_EQ(make_seed_file(files->at(1), context(), nullptr)->content, "x\ny\n");
  EXPECT_EQ(make_seed_file(files->at(4), context(), nullptr)->content, "{{");
  EXPECT_THAT(read(R"([{"path":"/a"}])").error().line(), HasSubstr("0 of from"));
  EXPECT_THAT(read(R"([{"path":"/a","text":"","link":"x"}])").error().line(),
              HasSubstr("2 of from"));
  EXPECT_THAT(read(R"([{"path":"/a","from":"gone.txt"}])").error().line(), HasSubstr("gone.txt"));
}

// No digit is lost, and none is made up.
TEST(WorldFiles, TokensHaveTheBytesThatAreGiven) {
  std::string hashed;
  const auto token = [&](const std::string& line) {
    const json files = json::array({{{"path", "/t"}, {"encoding", "jwt"}, {"text", {"a", line}}}});
    return make_seed_file(world_files_from_json(files, "", "s", hashed)->at(0), context(), nullptr);
  };
  ASSERT_TRUE(token("0x00aBff"));
  EXPECT_EQ(token("0x00aBff")->content, "YQ.AKv_");
  for (const char* wrong : {"0xZZ", "0xabc", "0x", "0x+1", "0x 1"}) {
    const auto failed = token(wrong);
    ASSERT_FALSE(failed) << wrong;
    EXPECT_THAT(failed.error().line(), HasSubstr(wrong));
    EXPECT_THAT(failed.error().line(), HasSubstr("s at /world/files/0"));
    EXPECT_THAT(failed.error().line(), HasSubstr("two digits"));
  }
}

}  // namespace
}  // namespace gyges::cues
