#include "sandbox/cues/persona.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lastlog.h>
#include <utmp.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <regex>
#include <set>

#include "base/assets.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/cues/disguise.h"

namespace gyges::cues {
namespace {

using ::testing::HasSubstr;

struct Made {
  Persona persona;
  PersonaWorld world;
  std::map<std::string, isolation::SeedFile> files;
};

Made make(const char* name, std::uint64_t seed = 1) {
  Made made;
  auto persona = load_persona(name);
  if (!persona) throw std::runtime_error(persona.error().line());
  made.persona = *persona;
  TemplateContext context;
  context.day = *parse_day("2026-11-21");
  context.seed = seed;
  add_persona_values(made.persona, context);
  auto world = make_persona_world(made.persona, context);
  if (!world) throw std::runtime_error(world.error().line());
  made.world = *world;
  for (const auto& file : made.world.seed) made.files[file.path] = file;
  return made;
}

// They are used without a look at the schema.
TEST(Persona, ShippedOnesAreValid) {
  int seen = 0;
  for (std::string_view file : assets_below("policies/personas/")) {
    auto value = parse_json(*asset(file), file);
    ASSERT_TRUE(value) << value.error().line();
    auto valid = validate_json(*value, "persona", file);
    EXPECT_TRUE(valid) << valid.error().line();
    ++seen;
  }
  EXPECT_GE(seen, 6);
}

TEST(Persona, ShippedOnesAreMade) {
  for (const char* name : {"vm-production", "kubernetes-pod", "docker-service", "developer-laptop",
                           "ci-runner", "bare"}) {
    Made made = make(name);
    EXPECT_EQ(made.persona.name, name);
    EXPECT_EQ(made.persona.sha256.size(), 64U);
  }
}

// A partition may be the host's /usr, in which nothing can be made without hiding its programs.
TEST(Persona, APartitionForProgramsHidesNone) {
  auto value = parse_json(*asset("policies/personas/vm-production.json"), "vm-production");
  ASSERT_TRUE(value);
  for (auto& part : value->at("machine").at("disks").at(0).at("partitions"))
    if (part.value("mount", "") == "/srv") part["mount"] = "/usr";
  auto directory = TemporaryDirectory::create("persona");
  ASSERT_TRUE(directory);
  const std::filesystem::path file = directory->path() / "usr.json";
  ASSERT_TRUE(write_file_atomically(file, value->dump()));
  const Made made = make(file.c_str());
  EXPECT_TRUE(made.files.contains("/home/lost+found"));
  for (const auto& [path, seed] : made.files) EXPECT_FALSE(path.starts_with("/usr/")) << path;
}

TEST(Persona, NothingInItContradicts) {
  Made made = make("vm-production");
  const auto& identity = made.world.identity;
  EXPECT_EQ(made.files["/etc/hostname"].content, identity.hostname + "\n");
  EXPECT_THAT(made.files["/etc/hosts"].content,
              HasSubstr(identity.hostname + "." + made.persona.domain + " " + identity.hostname));
  EXPECT_THAT(made.files["/etc/passwd"].content,
              HasSubstr("\n" + identity.user + ":x:" + std::to_string(identity.uid) + ":" +
                        std::to_string(identity.gid) + ":"));
  EXPECT_THAT(made.files["/etc/passwd"].content, ::testing::StartsWith("root:x:0:0:"));
  EXPECT_THAT(made.files["/etc/group"].content,
              HasSubstr("\n" + identity.user + ":x:" + std::to_string(identity.gid) + ":"));
  EXPECT_THAT(made.files["/etc/resolv.conf"].content, HasSubstr("search " + made.persona.domain));
  EXPECT_THAT(made.files["/etc/motd"].content, HasSubstr(identity.hostname));
  EXPECT_EQ(made.world.cues.uptime_seconds, 5302368U);
  ASSERT_TRUE(made.files.contains(identity.home + "/.bashrc"));
  for (const auto& [path, file] : made.files) {
    EXPECT_LE(file.mtime, *parse_day("2026-11-21")) << path;
    EXPECT_NE(file.mtime, 0) << path;
  }
}

// What the persona's own files say stands, whatever every image has.
TEST(Persona, ItsOwnFilesStandBeforeTheUsualOnes) {
  auto persona = load_persona("docker-service");
  ASSERT_TRUE(persona);
  for (const char* path : {"/etc/shadow", "/etc/gshadow", "/etc/motd"}) {
    WorldFile file;
    file.path = path;
    file.content = "own\n";
    persona->files.push_back(file);
  }
  TemplateContext context;
  context.day = *parse_day("2026-11-21");
  add_persona_values(*persona, context);
  auto world = make_persona_world(*persona, context);
  ASSERT_TRUE(world) << world.error().line();
  std::map<std::string, std::vector<std::string>> contents;
  for (const auto& file : world->seed) contents[file.path].push_back(file.content);
  for (const char* path : {"/etc/shadow", "/etc/gshadow", "/etc/motd"})
    EXPECT_EQ(contents[path], std::vector<std::string>{"own\n"}) << path;
}

// logrotate notes when it turned a log; the one that it set aside is as old.
TEST(Persona, LogsWereTurnedWhenTheStateSays) {
  Made made = make("vm-production");
  ASSERT_TRUE(made.files.contains("/var/log/auth.log.1"));
  EXPECT_THAT(
      made.files["/var/lib/logrotate/status"].content,
      HasSubstr("\"/var/log/auth.log\" " +
                format_time(made.files["/var/log/auth.log.1"].mtime, "%Y-%-m-%-d-%-H:%-M:%-S\n")));
}

// The kernel puts the interpreter before the path of a script, and services write where they can.
TEST(Persona, ServicesThatAreScriptsRunInTheirInterpreter) {
  int scripts = 0;
  for (const char* name : {"vm-production", "kubernetes-pod", "docker-service", "ci-runner"}) {
    const Made made = make(name);
    for (const Daemon& daemon : made.persona.machine->daemons)
      for (std::size_t i = 0; i < daemon.argv.size(); ++i) {
        const auto file = made.files.find(daemon.argv[i]);
        if (file == made.files.end() || !file->second.content.starts_with("#!")) continue;
        ++scripts;
        ASSERT_EQ(i, 1U) << daemon.name;
        EXPECT_THAT(file->second.content, HasSubstr("#!" + daemon.argv[0] + "\n"));
      }
  }
  EXPECT_EQ(scripts, 1);
  const Made made = make("vm-production");
  const std::string& settings = made.files.at("/etc/depot-sync.conf").content;
  const std::string directory = settings.substr(settings.find("log = ") + 6);
  const std::string first = directory.substr(0, directory.find('\n')) + "/";
  EXPECT_TRUE(made.files.lower_bound(first)->first.starts_with(first)) << first;
}

TEST(Persona, SeedChangesIdentifiersOnly) {
  Made one = make("vm-production", 1);
  EXPECT_EQ(one.files["/etc/machine-id"].content,
            make("vm-production", 1).files["/etc/machine-id"].content);
  Made two = make("vm-production", 2);
  EXPECT_NE(one.files["/etc/machine-id"].content, two.files["/etc/machine-id"].content);
  EXPECT_EQ(one.files["/etc/passwd"].content, two.files["/etc/passwd"].content);
}

// All files of a world and a machine.
std::string text_of(const char* name, std::uint64_t seed) {
  const Made made = make(name, seed);
  std::string text;
  // A repository has the same commits wherever it is cloned.
  for (const auto& [path, file] : made.files)
    if (path.find("/.git/") == std::string::npos) text += path + "\n" + file.content + "\n";
  auto policy = isolation::load_policy("episode");
  if (!policy) throw std::runtime_error(policy.error().line());
  apply_persona(made.world, *policy);
  auto disguise = make_disguise(made.persona, seed, *policy);
  if (!disguise) throw std::runtime_error(disguise.error().line());
  for (const isolation::Cover& cover : (*disguise)->covers)
    if (!cover.renew && !cover.path.starts_with("/proc/bus/input/")) text += cover.content + "\n";
  for (const isolation::TreeEntry& entry : (*disguise)->sysfs) text += entry.content + "\n";
  for (const isolation::ProcessFileRule& rule : (*disguise)->emulation->process_files)
    if (!rule.from_kernel) text += rule.content({rule.name, 1, 0, {}}).value_or("") + "\n";
  return text;
}

// Whatever could be an id: long numbers to the base 16, and keys.
std::set<std::string> ids_in(const std::string& text) {
  std::set<std::string> ids;
  static const std::regex form(
      "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"
      "[0-9a-f]{16,}|AAAA[A-Za-z0-9+/]{40,}|SHA256:[A-Za-z0-9+/]{20,}");
  for (std::sregex_iterator it(text.begin(), text.end(), form), end; it != end; ++it)
    if (const std::string id = it->str(); id.find_first_not_of(id[0]) != std::string::npos)
      ids.insert(id);
  return ids;
}

std::time_t up_seconds() {
  timespec up{};
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return up.tv_sec;
}

// Everybody's known_hosts has it.
constexpr const char* github_key =
    "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

// No two machines share an id, and one seed makes one machine, byte by byte.
TEST(Persona, MachinesShareNoIds) {
  for (const char* name :
       {"vm-production", "kubernetes-pod", "docker-service", "developer-laptop", "ci-runner"}) {
    SCOPED_TRACE(name);
    std::string once, again;
    // What its processes have used grows with every second that it is up.
    std::time_t begun = 0;
    do {
      begun = up_seconds();
      once = text_of(name, 1);
      again = text_of(name, 1);
    } while (up_seconds() != begun);
    // The first place that differs, as worlds are too long to print.
    const auto differs = std::mismatch(once.begin(), once.end(), again.begin(), again.end());
    const auto shown = [](const std::string& world, std::string::const_iterator at) {
      const auto before = std::min<std::ptrdiff_t>(at - world.begin(), 200);
      const auto after = std::min<std::ptrdiff_t>(world.end() - at, 200);
      return std::string(at - before, at + after);
    };
    EXPECT_TRUE(once == again) << shown(once, differs.first) << "\nand\n"
                               << shown(again, differs.second);
    const std::set<std::string> one = ids_in(once);
    const std::set<std::string> two = ids_in(text_of(name, 2));
    EXPECT_GE(one.size(), 3U);
    // Machines of one make have the same addresses of their devices; no limit of open files is the
    // largest number there is.
    for (const std::string& id : one)
      EXPECT_TRUE(!two.contains(id) || id.starts_with(github_key) || id.starts_with("00000000") ||
                  id == "9223372036854775807")
          << id;
  }
}

TEST(Persona, UnknownNamesListTheShippedOnes) {
  EXPECT_THAT(load_persona("mars-rover").error().line(), HasSubstr("bare, ci-runner"));
  EXPECT_THAT(load_persona("/no/such/file.json").error().line(), HasSubstr("No such file"));
}

TEST(Persona, PutsItselfIntoAPolicy) {
  isolation::Policy policy;
  policy.environment_pass = {"TERM"};
  apply_persona(make("vm-production").world, policy);
  EXPECT_EQ(policy.identity.user, "svc-autops");
  EXPECT_TRUE(policy.environment_pass.empty());
  EXPECT_THAT(policy.environment_set, ::testing::Contains(std::pair<std::string, std::string>(
                                          "MAIL", "/var/mail/svc-autops")));
}

TEST(Persona, LoginsAgreeWithTheLog) {
  Made made = make("vm-production");
  const std::string& wtmp = made.files["/var/log/wtmp"].content;
  ASSERT_EQ(wtmp.size() % sizeof(struct utmp), 0U);
  const std::string& log = made.files["/var/log/auth.log.1"].content +
                           made.files["/var/log/auth.log.2"].content +
                           made.files["/var/log/auth.log.3"].content;
  std::int64_t before = 0;
  int logins = 0;
  for (std::size_t at = 0; at < wtmp.size(); at += sizeof(struct utmp)) {
    struct utmp record {};
    std::memcpy(&record, wtmp.data() + at, sizeof(record));
    EXPECT_GE(record.ut_tv.tv_sec, before);
    before = record.ut_tv.tv_sec;
    if (record.ut_type != USER_PROCESS) continue;
    ++logins;
    EXPECT_THAT(log, HasSubstr(std::string("Accepted publickey for ") + record.ut_user + " from " +
                               record.ut_host));
  }
  EXPECT_GT(logins, 3);
  // The last one of each account.
  const isolation::SeedFile& last = made.files["/var/log/lastlog"];
  struct lastlog record {};
  const auto piece = std::find_if(last.pieces.begin(), last.pieces.end(), [](const auto& one) {
    return one.offset == 1203 * sizeof(struct lastlog);
  });
  ASSERT_NE(piece, last.pieces.end());
  ASSERT_EQ(piece->bytes.size(), sizeof(record));
  std::memcpy(&record, piece->bytes.data(), sizeof(record));
  EXPECT_THAT(log, HasSubstr(std::string("mkolstad from ") + record.ll_host));
  // Nobody is at a container's screen.
  EXPECT_FALSE(make("docker-service").files.contains("/run/utmp"));
}

// A repository's history may be older, what lies on the disk may not.
TEST(Persona, NothingIsOlderThanTheInstallation) {
  const Made made = make("developer-laptop");
  const std::int64_t installed = installation_time(*parse_day("2026-11-21"));
  int seen = 0;
  for (const auto& [path, file] : made.files) {
    if (!path.starts_with(made.persona.user.home + "/")) continue;
    EXPECT_GE(file.mtime, installed) << path;
    ++seen;
  }
  EXPECT_GT(seen, 100);
}

// A merge has two parents, and the histories have one.
TEST(Persona, CommitsWithOneParentAreNoMerges) {
  int messages = 0;
  for (const char* name : {"developer-laptop", "ci-runner"})
    for (const GitHistory& history : make(name).persona.git)
      for (const std::string& message : history.messages) {
        EXPECT_FALSE(message.starts_with("Merge ")) << name << ": " << message;
        ++messages;
      }
  EXPECT_GT(messages, 10);
}

TEST(Persona, GitReadsItsRepositories) {
  if (std::system("git --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "git is not installed";
  Made made = make("developer-laptop");
  auto directory = TemporaryDirectory::create("gyges-git");
  ASSERT_TRUE(directory);
  const std::string work = made.persona.user.home + "/projects/tidevann/";
  int files = 0;
  for (const auto& [path, file] : made.files) {
    if (!path.starts_with(work)) continue;
    const std::filesystem::path to = directory->path() / path.substr(work.size());
    std::filesystem::create_directories(to.parent_path());
    ASSERT_TRUE(write_file_atomically(to, file.content));
    ++files;
  }
  ASSERT_GT(files, 60);
  auto git = [&](const std::string& arguments) {
    const std::string command = "HOME=/nonexistent git -c safe.directory='*' -C '" +
                                directory->path().string() + "' " + arguments + " 2>&1";
    std::string output;
    FILE* pipe = ::popen(command.c_str(), "r");
    std::array<char, 4096> piece{};
    while (pipe != nullptr && std::fgets(piece.data(), piece.size(), pipe) != nullptr)
      output += piece.data();
    if (pipe != nullptr) ::pclose(pipe);
    return output;
  };
  EXPECT_EQ(git("fsck --strict --no-dangling --no-progress"), "");
  EXPECT_EQ(git("status --porcelain"), "");
  EXPECT_EQ(git("rev-list --count HEAD"), "38\n");
  EXPECT_THAT(git("shortlog -sn HEAD"),
              ::testing::AllOf(HasSubstr("Tiril Nygaard"), HasSubstr("Aksel Moen")));
  EXPECT_THAT(git("log -1 --format=%cs"), "2026-11-19\n");
}

}  // namespace
}  // namespace gyges::cues
