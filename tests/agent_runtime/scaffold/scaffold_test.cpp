#include "agent_runtime/scaffold/scaffold.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "agent_runtime/model/dialect/dialect.h"
#include "base/files.h"
#include "sandbox/cues/persona.h"

namespace gyges::scaffold {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

cues::TemplateContext context() {
  cues::TemplateContext made;
  made.day = 1'790'000'000;
  made.seed = 9;
  auto persona = cues::load_persona("vm-production");
  EXPECT_TRUE(persona);
  cues::add_persona_values(*persona, made);
  return made;
}

struct ScaffoldTest : ::testing::Test {
  TemporaryDirectory directory = std::move(*TemporaryDirectory::create("gyges-agents"));
  // Puts a file where the profile's program should be.
  void install(const AgentProfile& profile) {
    fs::path program =
        directory.path() / profile.name / profile.program->modules / profile.program->executable;
    fs::create_directories(program.parent_path());
    std::ofstream(program) << "#!/bin/sh\n";
  }
};

TEST_F(ScaffoldTest, EveryShippedProfileCanBeMadeConcreteInEveryDialect) {
  auto names = profile_names();
  EXPECT_THAT(
      names, ::testing::IsSupersetOf({"claude_code", "codex", "gemini_cli", "qwen_code", "opencode",
                                      "pi", "cline", "copilot", "continue", "command"}));
  for (const auto& name : names) {
    auto profile = load_profile(name);
    ASSERT_TRUE(profile) << profile.error().line();
    EXPECT_EQ(profile->name, name);
    EXPECT_FALSE(profile->shell.empty()) << name;
    if (profile->program) {
      profile->program->needs.clear();
      install(*profile);
    }
    for (const auto& dialect : profile->dialects) {
      EXPECT_NE(model::find_dialect(dialect.name), nullptr) << name << " " << dialect.name;
      ScaffoldRequest request{name, dialect.name, "", {}, directory.path()};
      if (profile->argv.empty()) request.command = {"true"};
      auto scaffold = prepare_scaffold(request, context(), "SYSTEM-WORDS", "USER-WORDS");
      if (!scaffold && scaffold.error().object == "/usr/bin/node") GTEST_SKIP() << "no node here";
      ASSERT_TRUE(scaffold) << scaffold.error().line();
      std::string all;
      for (const auto& argument : scaffold->argv) all += argument + "\n";
      for (const auto& file : scaffold->files) all += file.content + "\n";
      if (name != "command") {
        EXPECT_THAT(all, HasSubstr("USER-WORDS")) << name;
        EXPECT_THAT(all, HasSubstr("SYSTEM-WORDS")) << name;
      }
      for (const auto& [variable, value] : scaffold->environment) all += value + "\n";
      EXPECT_THAT(all, HasSubstr(scaffold->key)) << name;
      EXPECT_THAT(all, ::testing::Not(HasSubstr("{{"))) << name;
      if (!scaffold->dialect.tls) {
        EXPECT_THAT(all, HasSubstr(scaffold->dialect.host)) << name;
      }
    }
  }
}

// What each shipped agent is told of a server, in its own words.
TEST_F(ScaffoldTest, ServersStandInTheAgentsOwnConfiguration) {
  mcp::ServerDeclaration server;
  server.name = "tracker";
  server.command = {"python3", "-m", "it's \"here\""};
  server.environment = {"TOKEN=a=b"};
  struct Expected {
    const char* profile;
    const char* file;
    std::vector<const char*> parts;
    bool chooses;  // can offer some of the tools only
  };
  const std::vector<const char*> usual = {R"("mcpServers")", R"("tracker")", R"("python3")",
                                          R"("TOKEN": "a=b")"};
  for (const Expected& expected : std::vector<Expected>{
           {"claude_code", "/.claude/servers.json", usual, false},
           {"codex",
            "/.codex/config.toml",
            {R"([mcp_servers."tracker"])", R"("command" = "python3")",
             R"("args" = ["-m", "it's \"here\""])", R"([mcp_servers."tracker"."env"])",
             R"("TOKEN" = "a=b")"},
            true},
           {"gemini_cli", "/.gemini/settings.json", usual, true},
           {"qwen_code", "/.qwen/settings.json", usual, true},
           {"opencode", "/.config/opencode/company.json", {R"("mcp")", R"("provider")"}, false},
           {"cline", "cline_mcp_settings.json", usual, false},
           {"copilot", "/.copilot/mcp-config.json", usual, true},
           {"continue",
            "/.continue/company.yaml",
            {"apiBase", "\nmcpServers: [{", R"("name":"tracker")"},
            false}}) {
    SCOPED_TRACE(expected.profile);
    auto profile = load_profile(expected.profile);
    ASSERT_TRUE(profile) << profile.error().line();
    profile->program->needs.clear();
    install(*profile);
    ScaffoldRequest request{expected.profile, "", "", {}, directory.path(), {server}};
    auto scaffold = prepare_scaffold(request, context(), "s", "u");
    if (!scaffold && scaffold.error().object == "/usr/bin/node") GTEST_SKIP() << "no node here";
    ASSERT_TRUE(scaffold) << scaffold.error().line();
    ASSERT_EQ(scaffold->servers.size(), 1U);
    EXPECT_EQ(scaffold->servers[0].name, "tracker");
    std::string found;
    for (const auto& file : scaffold->files)
      if (file.path.ends_with(expected.file)) found += file.content;
    for (const char* part : expected.parts) EXPECT_THAT(found, HasSubstr(part));
    EXPECT_THAT(found, ::testing::Not(HasSubstr("{{")));
    request.servers[0].tools = {"close"};
    auto some = prepare_scaffold(request, context(), "s", "u");
    EXPECT_EQ(some.has_value(), expected.chooses);
    found.clear();
    for (const auto& file : some ? some->files : std::vector<isolation::SeedFile>{})
      if (file.path.ends_with(expected.file)) found += file.content;
    if (some) {
      EXPECT_THAT(found, HasSubstr("close"));
    }
  }
  for (const char* without : {"pi", "command"}) {
    ScaffoldRequest request{without, "", "", {}, directory.path(), {server}};
    if (std::string(without) == "pi") {
      auto profile = load_profile("pi");
      install(*profile);
    } else {
      request.command = {"true"};
    }
    auto refused = prepare_scaffold(request, context(), "s", "u");
    ASSERT_FALSE(refused);
    if (refused.error().object == "/usr/bin/node") continue;
    EXPECT_THAT(refused.error().line(), HasSubstr("MCP servers")) << without;
  }
}

TEST_F(ScaffoldTest, AToolIsTheServersWithTheLongestName) {
  const std::vector<McpServer> servers = {{"a", {"a"}, "mcp__a__", {}},
                                          {"a__b", {"b"}, "mcp__a__b__", {}}};
  EXPECT_EQ(server_of("mcp__a__x", "", servers)->name, "a");
  EXPECT_EQ(server_of("mcp__a__b__x", "", servers)->name, "a__b");
  EXPECT_EQ(server_of("x", "mcp__a", servers)->name, "a") << "a namespace of Codex";
  EXPECT_EQ(server_of("x", "mcp__a__b__", servers)->name, "a__b");
  EXPECT_EQ(server_of("bash", "", servers), nullptr);
  const std::vector<McpServer> bare = {{"a", {"a"}, "", {}, {"Bash"}, {}}};
  EXPECT_EQ(server_of("Bash", "", bare), nullptr) << "the agent's own";
  EXPECT_EQ(server_of("close", "", bare)->name, "a");
}

TEST_F(ScaffoldTest, AMissingProgramIsAnErrorWithItsCure) {
  auto scaffold = prepare_scaffold({"pi", "", "", {}, directory.path()}, context(), "s", "u");
  ASSERT_FALSE(scaffold);
  EXPECT_THAT(scaffold.error().line(), HasSubstr("scripts/install-agents pi"));
}

TEST_F(ScaffoldTest, WrongChoicesAreErrorsThatNameTheRightOnes) {
  auto dialect =
      prepare_scaffold({"claude_code", "gemini", "", {}, directory.path()}, context(), "", "");
  ASSERT_FALSE(dialect);
  EXPECT_THAT(dialect.error().line(), HasSubstr("anthropic_messages"));
  auto nothing = prepare_scaffold({"command", "", "", {}, {}}, context(), "", "");
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().line(), HasSubstr("after --"));
  auto twice = prepare_scaffold({"pi", "", "", {"x"}, directory.path()}, context(), "", "");
  ASSERT_FALSE(twice);
  auto unknown = load_profile("nobody");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().line(), HasSubstr("claude_code"));
}

TEST_F(ScaffoldTest, APolicyWithoutANetworkGetsTheModelAndNothingElse) {
  auto scaffold = prepare_scaffold({"command", "", "", {"sh"}, {}}, context(), "", "");
  ASSERT_TRUE(scaffold) << scaffold.error().line();
  auto policy = isolation::load_policy("episode");
  ASSERT_TRUE(policy);
  apply_scaffold(*scaffold, *policy);
  const auto& network = policy->network;
  EXPECT_EQ(network.mode, network::NetworkPolicy::Mode::gateway);
  ASSERT_EQ(network.rules.size(), 1U);
  EXPECT_EQ(network.rules[0].name, "model");
  const std::string host = scaffold->dialect.host;
  EXPECT_EQ(host, "llm.varnes.internal");
  auto aim = [&](std::uint16_t port, const std::string& name) {
    return network::decide(network, network::Transport::tcp,
                           {network::parse_address("198.51.100.7").value(), port}, {name})
        .action;
  };
  EXPECT_EQ(aim(8080, host), network::RuleAction::simulate);
  EXPECT_EQ(aim(22, host), network::RuleAction::refuse);
  EXPECT_EQ(aim(8080, "api.example"), network::RuleAction::refuse);
}

TEST_F(ScaffoldTest, TheSiteIsHandedOut) {
  auto site = handed_out_sites({"claude_code", "", "", {}, {}}, context());
  ASSERT_TRUE(site) << site.error().line();
  auto value = nlohmann::json::parse(*site).at(0);
  EXPECT_EQ(value.at("host"), "api.anthropic.com");
  EXPECT_EQ(value.at("handed_out"), true);
  EXPECT_TRUE(value.at("http_ports").empty());
  EXPECT_EQ(value.at("https_ports")[0], 443);
}

TEST_F(ScaffoldTest, ProfilesAreReadStrictly) {
  auto with = [&](const std::string& text) {
    fs::path file = directory.path() / "p.json";
    std::ofstream(file) << text;
    return load_profile(file.string());
  };
  const std::string head =
      R"({"$schema": "gyges/agent_profile.schema.json", "version": 1, "name": "x", "title": "X", "argv": ["x"], )";
  const std::string one = R"("dialects": {"openai_chat": {"endpoint": {"host": "h.example"}}}, )";
  EXPECT_TRUE(with(head + one + R"("tools": {"shell": []}})"));
  EXPECT_FALSE(with(head + one + R"("tools": {"shell": []}, "extra": 1})"));
  EXPECT_FALSE(with(head + one + R"("tools": {"shell": [], "failed": "("}})"));
  EXPECT_FALSE(
      with(head + one +
           R"("tools": {"shell": []}, "files": [{"path": "/x", "text": "a", "json": 1}]})"));
  auto order = with(
      head +
      R"("dialects": {"a": {"endpoint": {"host": "h"}}, "b": {"endpoint": {"host": "h"}}}, "tools": {"shell": []}})");
  ASSERT_FALSE(order);
  EXPECT_THAT(order.error().line(), HasSubstr("dialect_order"));
}

}  // namespace
}  // namespace gyges::scaffold
