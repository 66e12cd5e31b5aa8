#include "sandbox/isolation/seed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/unmasked.h"

namespace gyges::isolation {
namespace {

constexpr unsigned agent = 4321;

SeedFile entry(SeedFile::Kind kind, std::string path, unsigned mode, bool agent_owned = false) {
  SeedFile file;
  file.kind = kind;
  file.path = std::move(path);
  file.mode = mode;
  file.agent_owned = agent_owned;
  file.mtime = 1700000000;
  return file;
}

// "0755 0:0", or nothing where there is no such entry.
std::string look(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  return fmt::format("{:04o} {}:{}", info.st_mode & 07777U, info.st_uid, info.st_gid);
}

// Most entries have their mode and owner by being made, which spares half of the calls. What they
// end up as depends neither on that nor on anybody's file mode mask.
TEST(SeedAreas, ModesAndOwnersAreAsTheSeedsSay) {
  if (::geteuid() != 0) GTEST_SKIP() << "owners are set by root alone";
  using Kind = SeedFile::Kind;
  SandboxSpec spec;
  spec.policy.identity.uid = agent;
  spec.policy.identity.gid = agent;
  spec.seed = {entry(Kind::directory, "/srv/open", 01777),
               entry(Kind::directory, "/srv/closed", 0700),
               entry(Kind::directory, "/srv/mail", 02775),
               entry(Kind::directory, "/srv/home", 02755, true),
               entry(Kind::file, "/srv/closed/key", 0400),
               entry(Kind::file, "/srv/new/way/plain", 0664),
               entry(Kind::file, "/srv/new/own", 0640, true),
               entry(Kind::file, "/srv/program", 04755),
               entry(Kind::file, "/srv/mail/inbox", 0660),
               entry(Kind::directory, "/srv/mail/old", 0755),
               entry(Kind::file, "/srv/home/roots", 0644),
               entry(Kind::directory, "/srv/home/below", 0755),
               entry(Kind::file, "/srv/twice", 0644, true),
               entry(Kind::file, "/srv/twice", 0444)};
  Plan plan;
  plan.areas = {{"/srv", "", true}};
  HostFacts host;
  host.root = true;
  const auto seeded = [&](Mask mask) {
    auto scratch = TemporaryDirectory::create("seed");
    EXPECT_TRUE(scratch);
    const std::filesystem::path area = scratch->path() / "l0";
    std::filesystem::create_directory(area);
    const UniqueFd at(::open(scratch->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto work = [&] { return seed_areas(at.get(), plan, spec, host, mask); };
    const Status done = mask == Mask::none ? unmasked(work).get() : work();
    EXPECT_TRUE(done) << done.error().line();
    std::string table;
    for (const char* name :
         {"open", "closed", "mail", "home", "new", "new/way", "closed/key", "new/way/plain",
          "new/own", "program", "mail/inbox", "mail/old", "home/roots", "home/below", "twice"})
      table += fmt::format("{} {}\n", name, look(area / name));
    return table;
  };
  const mode_t before = ::umask(0077);
  const std::string by_calls = seeded(Mask::callers);
  const std::string by_making = seeded(Mask::none);
  ::umask(before);
  EXPECT_EQ(by_calls, by_making);
  EXPECT_EQ(by_making,
            "open 1777 0:0\nclosed 0700 0:0\nmail 2775 0:0\nhome 2755 4321:4321\n"
            "new 0755 0:0\nnew/way 0755 0:0\nclosed/key 0400 0:0\nnew/way/plain 0664 0:0\nnew/own "
            "0640 4321:4321\n"
            "program 4755 0:0\nmail/inbox 0660 0:0\nmail/old 0755 0:0\nhome/roots 0644 0:0\n"
            "home/below 0755 0:0\ntwice 0444 0:0\n");
}

// Directories are kept open for their neighbours, and not as many as a path may have.
TEST(SeedAreas, APathMayHaveMoreDirectoriesThanFilesMayBeOpen) {
  SandboxSpec spec;
  std::string path = "/srv";
  for (int i = 0; i < 300; ++i) path += "/a";
  spec.seed = {entry(SeedFile::Kind::file, path + "/file", 0644, true)};
  Plan plan;
  plan.areas = {{"/srv", "", true}};
  auto scratch = TemporaryDirectory::create("seed");
  ASSERT_TRUE(scratch);
  std::filesystem::create_directory(scratch->path() / "l0");
  const UniqueFd at(::open(scratch->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 200;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const Status done = seed_areas(at.get(), plan, spec, HostFacts{}, Mask::callers);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(done) << done.error().line();
}

// Two seeds of one directory: the later one stays, in what it is closed to, too.
TEST(SeedAreas, OfTwoOfOneDirectoryTheLaterIsOpenOrClosed) {
  using Kind = SeedFile::Kind;
  SandboxSpec spec;
  spec.seed = {
      entry(Kind::directory, "/srv/opened", 0700), entry(Kind::directory, "/srv/opened", 0755),
      entry(Kind::directory, "/srv/shut", 0755), entry(Kind::directory, "/srv/shut", 0700)};
  Plan plan;
  plan.areas = {{"/srv", "", true}};
  auto scratch = TemporaryDirectory::create("seed");
  ASSERT_TRUE(scratch);
  std::filesystem::create_directory(scratch->path() / "l0");
  const UniqueFd at(::open(scratch->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  HostFacts host;
  host.root = false;
  const Status done = seed_areas(at.get(), plan, spec, host, Mask::callers);
  ASSERT_TRUE(done) << done.error().line();
  const auto mode = [&](const char* name) {
    return look(scratch->path() / "l0" / name).substr(0, 4);
  };
  EXPECT_EQ(mode("opened"), "0755");
  EXPECT_EQ(mode("shut"), "0000");
}

}  // namespace
}  // namespace gyges::isolation
