#include "analysis/bundles/json_lines.h"
#include "base/json.h"

#include <gtest/gtest.h>

#include <fstream>

#include "analysis/bundles/transcript.h"
#include "base/files.h"

namespace gyges::analysis {
namespace {

class JsonLines : public ::testing::Test {
 protected:
  Result<Transcript> transcript_of(const std::string& text) {
    Result<TemporaryDirectory> directory = TemporaryDirectory::create("gyges-lines");
    std::filesystem::path file = directory->path() / "transcript.jsonl";
    std::ofstream(file, std::ios::binary) << text;
    return load_transcript(file);
  }
  void expect_error(const std::string& text, const std::string& words) {
    Result<Transcript> result = transcript_of(text);
    ASSERT_FALSE(result) << text.substr(0, 80);
    EXPECT_NE(result.error().line().find(words), std::string::npos) << result.error().line();
  }
};

TEST_F(JsonLines, JoinsTheLinesOfACall) {
  Result<Transcript> transcript = transcript_of(
      "{\"type\":\"tool_requested\",\"call\":1,\"name\":\"bash\",\"time_ns\":5,\"arguments\":{"
      "\"command\":\"a\\nb\"}}\n"
      "{\"type\":\"tool_decided\",\"call\":1,\"decision\":\"rejected\"}\n"
      "{\"type\":\"end\",\"reason\":\"turn_limit\",\"report\":\"\"}");
  ASSERT_TRUE(transcript) << transcript.error().line();
  ASSERT_EQ(transcript->calls.size(), 1U);
  EXPECT_TRUE(transcript->calls[0].rejected);
  EXPECT_FALSE(transcript->calls[0].executed);
  EXPECT_EQ(transcript->calls[0].text, "a\nb\n");
  EXPECT_FALSE(transcript->submitted());
}

TEST_F(JsonLines, NamesTheBadLine) {
  expect_error("{\"type\":\"end\"}\n{\"type\":", "line 2");
  expect_error("[1]\n", "not a JSON object");
  expect_error("{\"type\":\"end\"}\n\n", "line 2");
  expect_error("{\"type\":\"monitor\"}\n", "unknown type");
  expect_error("{\"type\":\"tool_requested\",\"call\":-1}\n", "positive");
  expect_error("{\"type\":\"tool_requested\",\"call\":99999999999}\n", "positive");
  expect_error(std::string(17U << 20U, 'x'), "longer than 16 MiB");
  expect_error(std::string(100, '[') + "\n", "line 1");
  expect_error(std::string("\0\xff\n", 3), "line 1");
}

TEST_F(JsonLines, TypesThatDoNotFitCountAsAbsent) {
  Result<Transcript> transcript = transcript_of("{\"type\":\"end\",\"reason\":7,\"report\":[]}\n");
  ASSERT_TRUE(transcript);
  EXPECT_EQ(transcript->report, "");
}

}  // namespace
}  // namespace gyges::analysis
