// What is written down holds: files have their schemas, examples their forms, and every option of
// the command line stands in its page.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <regex>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "gyges_process.h"

namespace gyges {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

using Documents = EndToEnd;

std::string text_of(const fs::path& file) {
  auto text = read_file(file);
  EXPECT_TRUE(text) << file;
  return text ? *text : "";
}

std::vector<fs::path> files_below(const fs::path& directory, const std::string& extension) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.path().extension() == extension) files.push_back(entry.path());
  return files;
}

void expect_valid(const json& document, const std::string& schema, const std::string& source) {
  Status valid = validate_json(document, schema, source);
  EXPECT_TRUE(valid) << valid.error().line();
}

// "gyges/NAME.schema.json" -> NAME
std::string schema_named_in(const json& document) {
  std::string name = document.value("$schema", "");
  EXPECT_THAT(name, ::testing::MatchesRegex("gyges/[a-z_]+\\.schema\\.json"));
  name = name.substr(name.find('/') + 1);
  return name.substr(0, name.find('.'));
}

// Every file but the trace and stored bytes.
void expect_bundle_follows_schemas(const fs::path& bundle) {
  const std::map<std::string, std::string> schemas = {{"run.json", "run"},
                                                      {"seal.json", "seal"},
                                                      {"flows.jsonl", "flow"},
                                                      {"transcript.jsonl", "transcript"},
                                                      {"exchanges.jsonl", "exchange"},
                                                      {"processes.jsonl", "processes"},
                                                      {"files/changes.jsonl", "file_change"}};
  for (const auto& entry : fs::recursive_directory_iterator(bundle)) {
    const std::string name = fs::relative(entry.path(), bundle).string();
    if (!entry.is_regular_file() || name == "trace.gyt" || name.starts_with("blobs/") ||
        name.starts_with("files/content/"))
      continue;
    ASSERT_TRUE(schemas.count(name)) << name << " has no schema";
    const std::string text = text_of(entry.path());
    if (entry.path().extension() == ".json") {
      expect_valid(json::parse(text), schemas.at(name), name);
      continue;
    }
    for (const std::string& line : split(text, '\n'))
      if (!line.empty()) expect_valid(json::parse(line), schemas.at(name), name);
  }
}

TEST_F(Documents, EveryFileOfABundleFollowsItsSchema) {
  Finished run = gyges({"run", "--out", path("run").string(), "--", "sh", "-c",
                        "echo x > /tmp/f; ln -s f /tmp/l; mkfifo /tmp/p; rm -f /tmp/g; "
                        "printf 'x' > \"$(printf '/tmp/\\377')\""});
  ASSERT_EQ(run.status, 0) << run.error;
  expect_bundle_follows_schemas(path("run"));
  Finished episode = gyges({"episode", "log_retention", "--agent", "two_faced", "--condition",
                            "oversight=announced_off", "--out", path("episode").string()});
  ASSERT_EQ(episode.status, 0) << episode.error;
  expect_bundle_follows_schemas(path("episode"));
  std::size_t entries = 0;
  const char* state = std::getenv("XDG_STATE_HOME");
  ASSERT_NE(state, nullptr);
  for (const std::string& line : split(text_of(fs::path(state) / "gyges" / "ledger.jsonl"), '\n'))
    if (!line.empty()) {
      expect_valid(json::parse(line), "ledger", "ledger.jsonl");
      ++entries;
    }
  EXPECT_GE(entries, 2U);
}

TEST_F(Documents, ShippedDataFollowsTheSchemaThatItNames) {
  std::size_t checked = 0;
  for (const char* place : {"policies", "scenarios"})
    for (const fs::path& file : files_below(fs::path(GYGES_SOURCE_DIR) / place, ".json")) {
      const std::string where = file.string();
      if (where.find("/schemas/") != std::string::npos ||
          where.find("/probing/") != std::string::npos)
        continue;
      json document = json::parse(text_of(file));
      expect_valid(document, schema_named_in(document), where);
      ++checked;
    }
  EXPECT_GT(checked, 40U);
}

TEST_F(Documents, SchemasAreNamedAsTheirFiles) {
  for (const fs::path& file :
       files_below(fs::path(GYGES_SOURCE_DIR) / "policies" / "schemas", ".json"))
    EXPECT_EQ(json::parse(text_of(file)).value("$id", ""), "gyges/" + file.filename().string());
}

TEST_F(Documents, WholeExamplesFollowTheirSchemas) {
  std::size_t checked = 0;
  for (const fs::path& page : files_below(fs::path(GYGES_SOURCE_DIR) / "docs", ".md")) {
    const std::string text = text_of(page);
    const std::string fence = "```json\n";
    for (std::size_t at = text.find(fence); at != std::string::npos;
         at = text.find(fence, at + 1)) {
      const std::size_t begin = at + fence.size();
      json example =
          json::parse(text.substr(begin, text.find("```", begin) - begin), nullptr, false);
      if (!example.is_object() || !example.contains("$schema")) continue;
      expect_valid(example, schema_named_in(example), page.string());
      ++checked;
    }
  }
  EXPECT_GE(checked, 7U);
}

struct CommandHelp {
  std::string name;  // "trace show"
  std::string text;
};

// The help of `words` and of every command below it.
void collect_help(const std::vector<std::string>& words, std::vector<CommandHelp>& found) {
  std::vector<std::string> arguments = words;
  arguments.emplace_back("--help");
  Finished help = gyges(arguments);
  ASSERT_EQ(help.status, 0) << join(words, " ") << help.error;
  found.push_back({join(words, " "), help.output});
  bool commands = false;
  for (const std::string& line : split(help.output, '\n')) {
    if (line == "Subcommands:") {
      commands = true;
    } else if (commands && line.starts_with("  ") && line.size() > 2 &&
               std::isalpha(line[2]) != 0) {
      std::vector<std::string> below = words;
      below.push_back(line.substr(2, line.find(' ', 2) - 2));
      collect_help(below, found);
    } else if (line.empty()) {
      commands = false;
    }
  }
}

TEST_F(Documents, EveryCommandAndOptionStandsInThePages) {
  std::vector<CommandHelp> commands;
  collect_help({}, commands);
  ASSERT_GT(commands.size(), 30U);
  const std::string page = text_of(GYGES_SOURCE_DIR "/docs/command_line.md");
  const std::string manual = text_of(GYGES_SOURCE_DIR "/docs/man/gyges.1");
  const std::regex option("^  (-[a-zA-Z],)?(--[a-z-]+)");
  for (const CommandHelp& command : commands) {
    // One that only holds others is told by them.
    if (!command.name.empty() && command.text.find("\nSubcommands:") == std::string::npos) {
      EXPECT_THAT(manual, HasSubstr(".Cm " + command.name)) << command.name;
      EXPECT_THAT(command.text, HasSubstr("\nExample")) << command.name;
    }
    for (const std::string& line : split(command.text, '\n')) {
      std::smatch match;
      if (!std::regex_search(line, match, option) || match[2] == "--help") continue;
      EXPECT_THAT(page, HasSubstr(match[2].str())) << command.name;
    }
  }
}

// Some began to install, build or run instead.
TEST_F(Documents, EveryScriptSaysWhatItDoes) {
  std::size_t scripts = 0;
  for (const auto& entry : fs::directory_iterator(GYGES_SOURCE_DIR "/scripts")) {
    if (!entry.is_regular_file() || ::access(entry.path().c_str(), X_OK) != 0) continue;
    std::FILE* help = ::popen((entry.path().string() + " --help").c_str(), "r");
    ASSERT_NE(help, nullptr);
    std::string text(64 << 10, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), help));
    EXPECT_EQ(::pclose(help), 0) << entry.path();
    EXPECT_GT(text.size(), 60U) << entry.path();
    EXPECT_THAT(text, Not(HasSubstr("set -eu"))) << entry.path();
    ++scripts;
  }
  EXPECT_GT(scripts, 12U);
}

struct Mistake {
  std::vector<std::string> words;
  std::string answer;
};

TEST_F(Documents, MistypedWordsAreAnsweredWithWhatWasMeant) {
  const std::vector<Mistake> mistakes = {
      {{"rnu", "--", "true"}, "was run meant?"},
      {{"trace", "shwo", "x"}, "\"shwo\" is no command of `gyges trace`. Cure: was show meant?"},
      {{"trace"}, "no command of `gyges trace` was named. Cure: use one of show, stat,"},
      {{}, "no command of `gyges` was named. Cure: use one of run, episode,"},
      {{"run", "--polcy", "x", "--", "true"},
       "`gyges run` has no option --polcy. Cure: was --policy meant?"},
      {{"run", "ls", "-la"}, "`gyges run` has no option -la. Cure: put -- before the command"},
      {{"run", "ls", "--color"}, "`gyges run` has no option --color. Cure: put -- before"},
      {{"trace", "show", "x", "--sycall=read"}, "has no option --sycall. Cure: was --syscall"},
      {{"doctor", "extra"}, "not expected: extra"}};
  for (const Mistake& mistake : mistakes) {
    Finished answer = gyges(mistake.words);
    EXPECT_EQ(answer.status, 2) << join(mistake.words, " ");
    EXPECT_THAT(answer.error, HasSubstr(mistake.answer));
    EXPECT_EQ(answer.output, "");
  }
  EXPECT_THAT(gyges({"experiment", "x"}).error, Not(HasSubstr("worker")));  // runners start it
}

TEST_F(Documents, MistakesAboutFilesAreNamedBeforeAnythingIsLeftBehind) {
  const std::string bundle = path("bundle").string();
  ASSERT_EQ(gyges({"run", "--out", bundle, "--", "true"}).status, 0);
  Finished flows = gyges({"flows", "show", bundle});
  EXPECT_EQ(flows.status, 125);
  EXPECT_EQ(flows.output, "");  // no heading of a table that does not come
  // Times that no number holds, and parts that hold nothing.
  for (const std::vector<std::string>& part : std::vector<std::vector<std::string>>{
           {"--since", "-3"}, {"--until", "1e30"}, {"--since", "5", "--until", "2"}}) {
    std::vector<std::string> words = {"trace", "show", bundle};
    words.insert(words.end(), part.begin(), part.end());
    EXPECT_EQ(gyges(words).status, 2) << join(part, " ");
  }
  Finished probe = gyges({"cues", "probe", "Zz"});
  EXPECT_EQ(probe.status, 125);
  EXPECT_THAT(probe.error, HasSubstr("no channel with this beginning"));
  for (const char* format : {"jsonl", "sqlite", "perfetto"}) {
    Finished exported =
        gyges({"trace", "export", bundle, "--format", format, "-o", directory_->path().string()});
    EXPECT_EQ(exported.status, 125);
    EXPECT_THAT(exported.error, HasSubstr("it is a directory. Cure: name a file"));
  }
  EXPECT_FALSE(fs::exists(directory_->path().string() + ".partial"));
  Finished workspace = gyges({"run", "--workspace", bundle + "/run.json", "--", "true"});
  EXPECT_EQ(workspace.status, 125);
  EXPECT_THAT(workspace.error, HasSubstr("it is not a directory"));
}

// A seal without a signature was said in run.json alone.
TEST_F(Documents, ASealThatCannotBeSignedIsAWarning) {
  const std::string before = std::getenv("XDG_STATE_HOME");
  ASSERT_TRUE(write_file_atomically(path("no"), "a file"));
  ::setenv("XDG_STATE_HOME", (path("no") / "directory").c_str(), 1);
  Finished run = gyges({"run", "--out", path("bundle").string(), "--", "true"});
  ::setenv("XDG_STATE_HOME", before.c_str(), 1);
  EXPECT_EQ(run.status, 0);
  EXPECT_THAT(run.error, HasSubstr("gyges: warning: the seal lacks its signature"));
}

}  // namespace
}  // namespace gyges
