// Servers inside a real sandbox, honest ones and others.
#include "tools/mcp/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/json.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// A server in a few lines; its first argument says how it behaves.
constexpr const char* server_script = R"sh(
begin='"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}'
schema='"inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}'
case $1 in
  silent) exec sleep 1000 ;;
  dies) echo 'no \033[31mway' >&2; exit 3 ;;
  many) many=1 ;;
  line) exec tr '\0' x </dev/zero ;;
  flood) while :; do echo '{"jsonrpc":"2.0","method":"notifications/message","params":{}}'; done ;;
  asks) while :; do echo '{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage"}'; done ;;
esac
while IFS= read -r line; do
  [[ $line =~ \"id\":([0-9]+) ]] && id=${BASH_REMATCH[1]}
  case $line in
    *'"initialize"'*)
      [ "$1" != noisy ] || printf 'a log line\n\033[31m{"jsonrpc":"2.0","id":99,"result":{}}\n[[[[\n'
      printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$begin" ;;
    *'"tools/list"'*)
      if [ "$1" = many ]; then
        printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[' "$id"
        for i in {1..5000}; do printf '{"name":"t%s",%s},' "$i" "$schema"; done
        printf '{"name":"bad","inputSchema":{"type":"object","properties":{"a":{"pattern":"("}}}}]}}\n'
        continue
      fi
      printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"echo","description":"Says it again","%s' "$id" "${schema#\"}"
      printf '},{"name":"shell","description":"Runs a command",%s},{"name":"../../etc",%s},{"name":"echo",%s},{"name":"bare"},7]}}\n' "$schema" "$schema" "$schema" ;;
    *'"shell"'*)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%s"}]}}\n' "$id" "$(id -u)" ;;
    *'"tools/call"'*)
      [ "$1" != hangs ] || exec sleep 1000
      [ "$1" != crash ] || { echo 'giving up' >&2; kill -SEGV $$; }
      [ "$1" != wrong ] || printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"not asked for"}]}}\n{"jsonrpc":"2.0","id":"x","result":{}}\n' "$((id + 7))"
      [ "$1" != line_later ] || exec tr '\0' x </dev/zero
      [ "$1" != env ] || { printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%s"}]}}\n' "$id" "$SECRET"; continue; }
      [ "$1" != fails ] || { printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"no \\u001b[31m"}}\n' "$id"; continue; }
      [ "$1" != big ] || { printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' "$id"; head -c 3000000 /dev/zero | tr '\0' y; printf '"}]}}\n'; continue; }
      [[ $line =~ \"text\":\"([^\"]*)\" ]]
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%s"},{"type":"image","data":"abcd","mimeType":"image/png"}],"isError":false}}\n' "$id" "${BASH_REMATCH[1]}" ;;
  esac
done
)sh";

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto policy = isolation::load_policy("default");
    ASSERT_TRUE(policy);
    policy_ = *policy;
    policy_.filesystem.workspace = isolation::Filesystem::Workspace::none;
    policy_.limits.wall_seconds = 100;
    auto sandbox = isolation::Sandbox::start({policy_, {}, nullptr});
    if (!sandbox && (sandbox.error().code == EPERM || sandbox.error().code == ENOSYS))
      GTEST_SKIP() << sandbox.error().line();
    ASSERT_TRUE(sandbox) << sandbox.error().line();
    sandbox_ = std::move(*sandbox);
  }
  Result<std::unique_ptr<ToolServer>> start(
      const std::string& behaviour,
      std::chrono::milliseconds longest_start = std::chrono::seconds(15)) {
    ServerDeclaration declaration;
    declaration.name = "mine";
    declaration.command = {"bash", "-c", server_script, "server", behaviour};
    declaration.environment = {"SECRET=of the server"};
    declaration.prefix = prefix_;
    declaration.tools = wanted_;
    declaration.start = longest_start;
    return ToolServer::start(*sandbox_, declaration, isolation::command_environment(policy_),
                             policy_.identity.home);
  }
  tools::ToolResult call(const tools::Tool& tool, const json& arguments) {
    tools::ToolContext context{.sandbox = *sandbox_};
    context.environment = isolation::command_environment(policy_);
    context.home = policy_.identity.home;
    context.call = 1;
    context.timeout = timeout_;
    context.deadline = Clock::now() + std::chrono::seconds(60);
    return tool.run(context, arguments);
  }

  isolation::Policy policy_;
  std::unique_ptr<isolation::Sandbox> sandbox_;
  std::chrono::seconds timeout_{20};
  std::optional<std::string> prefix_;
  std::vector<std::string> wanted_;
};

TEST_F(ClientTest, ToolsHaveStableNamesAndRunInside) {
  auto server = start("honest");
  ASSERT_TRUE(server) << server.error().line();
  const auto& tools = (*server)->tools();
  ASSERT_EQ(tools.size(), 2U);
  EXPECT_EQ(tools[0]->name(), "mcp__mine__echo");
  EXPECT_EQ(tools[0]->description(), "Says it again");
  EXPECT_EQ(json::parse(tools[0]->parameters()).at("type"), "object");
  EXPECT_EQ(tools[1]->name(), "mcp__mine__shell");
  EXPECT_EQ((*server)->left_out(), 4U);
  EXPECT_EQ((*server)->title(), "s 1");
  tools::ToolResult said = call(*tools[0], {{"text", "hello"}});
  EXPECT_FALSE(said.failed());
  EXPECT_EQ(said.output, "hello\n[image, 4 bytes as base64]");
  EXPECT_EQ(call(*tools[1], json::object()).output, "1000");
}

TEST_F(ClientTest, WhatIsNoAnswerIsLeftOut) {
  auto server = start("noisy");
  ASSERT_TRUE(server) << server.error().line();
  EXPECT_EQ(call(*(*server)->tools()[0], {{"text", "x"}}).failed(), false);
}

TEST_F(ClientTest, ServersThatDoNotStartAreErrorsInBoundedTime) {
  for (const char* behaviour : {"silent", "dies", "line", "flood", "asks"}) {
    auto begin = Clock::now();
    auto server = start(behaviour, std::chrono::milliseconds(2000));
    EXPECT_FALSE(server) << behaviour;
    if (!server) {
      EXPECT_THAT(server.error().line(), HasSubstr("MCP server")) << behaviour;
    }
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(20)) << behaviour;
  }
  // The sandbox is as it was, and nothing of them is left in it.
  auto honest = start("honest");
  EXPECT_TRUE(honest) << honest.error().line();
}

TEST_F(ClientTest, AServerThatDoesNotAnswerTimesOut) {
  auto server = start("hangs");
  ASSERT_TRUE(server) << server.error().line();
  timeout_ = std::chrono::seconds(1);
  tools::ToolResult result = call(*(*server)->tools()[0], {{"text", "x"}});
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->type, "timeout");
}

TEST_F(ClientTest, ErrorsAndSizesAreBounded) {
  auto failing = start("fails");
  ASSERT_TRUE(failing) << failing.error().line();
  tools::ToolResult result = call(*(*failing)->tools()[0], {{"text", "x"}});
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.output.find('\x1b'), std::string::npos);
  auto big = start("big");
  ASSERT_TRUE(big) << big.error().line();
  result = call(*(*big)->tools()[0], {{"text", "x"}});
  EXPECT_TRUE(result.truncated);
  EXPECT_LT(result.output.size(), 70'000U);
}

TEST_F(ClientTest, AnErrorAtTheStartSaysHowItEnded) {
  auto server = start("dies");
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().line(), HasSubstr("exit status 3"));
  EXPECT_THAT(server.error().line(), HasSubstr("no "));
  EXPECT_EQ(server.error().line().find('\x1b'), std::string::npos);
}

TEST_F(ClientTest, AServerThatDiesIsAClearErrorFromThenOn) {
  auto server = start("crash");
  ASSERT_TRUE(server) << server.error().line();
  for (int i = 0; i < 2; ++i) {
    tools::ToolResult result = call(*(*server)->tools()[0], {{"text", "x"}});
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->type, "server");
    EXPECT_THAT(result.error->message, HasSubstr("has ended"));
    EXPECT_THAT(result.error->message, HasSubstr("giving up"));
    EXPECT_FALSE(result.sandbox_lost);
  }
  EXPECT_THAT((*server)->ended(), HasSubstr("signal 11"));
}

TEST_F(ClientTest, AnswersWithOtherNumbersAreNoAnswers) {
  auto server = start("wrong");
  ASSERT_TRUE(server) << server.error().line();
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(call(*(*server)->tools()[0], {{"text", "mine"}}).output, HasSubstr("mine"));
}

TEST_F(ClientTest, ALineWithoutEndEndsTheServer) {
  auto server = start("line_later");
  ASSERT_TRUE(server) << server.error().line();
  tools::ToolResult result = call(*(*server)->tools()[0], {{"text", "x"}});
  ASSERT_TRUE(result.error);
  EXPECT_THAT(result.error->message, HasSubstr("too long"));
}

TEST_F(ClientTest, ToolsAreBoundedInNumber) {
  auto server = start("many");
  ASSERT_TRUE(server) << server.error().line();
  EXPECT_EQ((*server)->tools().size(), ClientLimits{}.tools);
  EXPECT_EQ((*server)->left_out(), 5001 - ClientLimits{}.tools);
  EXPECT_LE((*server)->examples_left_out().size(), 16U);
}

TEST_F(ClientTest, PrefixChoiceAndEnvironmentAreTheScenarios) {
  prefix_ = "";
  wanted_ = {"echo"};
  auto server = start("env");
  ASSERT_TRUE(server) << server.error().line();
  ASSERT_EQ((*server)->tools().size(), 1U);
  EXPECT_EQ((*server)->tools()[0]->name(), "echo");
  EXPECT_EQ(call(*(*server)->tools()[0], {{"text", "x"}}).output, "of the server");
  wanted_ = {"echo", "bare"};
  auto none = start("honest");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().line(), HasSubstr("no usable tool named \"bare\""));
}

TEST_F(ClientTest, NamesAreChecked) {
  for (const char* name : {"", "a/b", "with space", "123456789012345678901234567890123"})
    EXPECT_FALSE(ToolServer::start(*sandbox_, {name, {"true"}}, {}, "", {})) << name;
}

}  // namespace
}  // namespace gyges::mcp
