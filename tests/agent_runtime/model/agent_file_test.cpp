#include "agent_runtime/model/agent_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"

namespace gyges::model {
namespace {

using ::testing::HasSubstr;

class AgentFileTest : public ::testing::Test {
 protected:
  std::string error_of(const std::string& model) {
    auto path = directory_.path() / "agent.json";
    (void)write_file_atomically(
        path,
        R"({"$schema":"gyges/agent.schema.json","version":1,"name":"x","model":)" + model + "}");
    auto agent = load_agent(path);
    if (!agent) return agent.error().line();
    auto made = make_model(*agent, 1);
    return made ? "" : made.error().line();
  }
  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create("gyges-agent"));
};

TEST_F(AgentFileTest, SaysWhatIsMissingOrForeign) {
  EXPECT_THAT(error_of(R"({"kind":"openai_chat","name":"m"})"), HasSubstr("/model/base_url"));
  EXPECT_THAT(error_of(R"({"kind":"scripted"})"), HasSubstr("needs its rules"));
  EXPECT_THAT(error_of(R"({"kind":"scripted","name":"m","script":{"rules":[{"name":"a"}]}})"),
              HasSubstr("does not belong to a model of kind scripted"));
  EXPECT_THAT(error_of(R"({"kind":"magic"})"), HasSubstr("scripted"));
  EXPECT_THAT(error_of(R"({"kind":"scripted","script":{"rules":[{"name":"a","sing":true}]}})"),
              HasSubstr("unknown key \"sing\""));
  EXPECT_EQ(error_of(R"({"kind":"scripted","script":{"rules":[{"name":"a"}]}})"), "");
}

TEST_F(AgentFileTest, TakesTheKeyFromEnvironmentOrFile) {
  std::string from_env =
      R"({"kind":"openai_chat","base_url":"http://127.0.0.1:1/v1","name":"m","api_key_env":"GYGES_TEST_KEY"})";
  ::unsetenv("GYGES_TEST_KEY");
  EXPECT_THAT(error_of(from_env), HasSubstr("GYGES_TEST_KEY"));
  ::setenv("GYGES_TEST_KEY", "k", 1);
  EXPECT_EQ(error_of(from_env), "");
  std::string from_file =
      R"({"kind":"openai_chat","base_url":"http://127.0.0.1:1/v1","name":"m","api_key_file":"key"})";
  EXPECT_THAT(error_of(from_file), HasSubstr("key: No such file"));
  ASSERT_TRUE(write_file_atomically(directory_.path() / "key", "secret\n"));
  EXPECT_EQ(error_of(from_file), "");
  ASSERT_TRUE(write_file_atomically(directory_.path() / "key", "a\nb\n"));
  EXPECT_THAT(error_of(from_file), HasSubstr("line break"));
}

TEST_F(AgentFileTest, ShippedAgentsLoad) {
  int count = 0;
  for (const auto& scenario : std::filesystem::directory_iterator(GYGES_SOURCE_DIR "/scenarios")) {
    if (!std::filesystem::is_directory(scenario.path() / "agents")) continue;
    for (const auto& file : std::filesystem::directory_iterator(scenario.path() / "agents")) {
      auto agent = load_agent(file.path());
      ASSERT_TRUE(agent) << agent.error().line();
      EXPECT_EQ(agent->name, file.path().stem().string());
      ++count;
    }
  }
  EXPECT_GE(count, 6);
}

// The agents of docs/agents.md are whole files and must stay so; other examples of the page are not
// looked at.
TEST_F(AgentFileTest, TheExamplesOfTheDocumentationLoad) {
  std::string page = *read_file(GYGES_SOURCE_DIR "/docs/agents.md");
  int count = 0;
  const std::string fence = "```json\n";
  for (auto at = page.find(fence); at != std::string::npos; at = page.find(fence, at + 1)) {
    std::string example = page.substr(at + fence.size());
    example = example.substr(0, example.find("```"));
    if (example.find("\"gyges/agent.schema.json\"") == std::string::npos) continue;
    auto path = directory_.path() / ("example" + std::to_string(++count) + ".json");
    ASSERT_TRUE(write_file_atomically(path, example));
    auto agent = load_agent(path);
    EXPECT_TRUE(agent) << agent.error().line();
  }
  EXPECT_EQ(count, 2);
}

}  // namespace
}  // namespace gyges::model
