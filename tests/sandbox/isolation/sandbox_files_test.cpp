#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/fd.h"
#include "base/files.h"
#include "base/hash.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/host_facts.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

// Since Linux 6.6.
bool memory_has_attributes() {
  const UniqueFd file(::memfd_create("gyges-test", MFD_CLOEXEC));
  return ::fsetxattr(file.get(), "user.test", "", 0, 0) == 0;
}

// Why the host's directories cannot be removed inside; empty where they can.
std::string no_marks() {
  auto host = read_host_facts();
  return host && host->overlay_marks ? "" : "overlays have no marks for directories here";
}

using ::testing::HasSubstr;

SeedFile seed(std::string path, std::string content) {
  SeedFile file;
  file.path = std::move(path);
  file.content = std::move(content);
  return file;
}

class SandboxFiles : public SandboxTest {
 protected:
  const FileChange* change(const SandboxEnd& end, const std::string& path) {
    auto found = std::find_if(end.changes.begin(), end.changes.end(),
                              [&](const FileChange& entry) { return entry.path == path; });
    return found == end.changes.end() ? nullptr : &*found;
  }

  SandboxSpec seeded() {
    SandboxSpec spec{test_policy(), {}, nullptr};
    spec.seed.push_back(seed("/home/user/notes.txt", "old\n"));
    spec.seed.push_back(seed("/home/user/keep/a.log", "a\n"));
    spec.seed.push_back(seed("/home/user/keep/b.log", "b\n"));
    spec.seed.back().mtime = 1700000000;
    return spec;
  }
};

TEST_F(SandboxFiles, AMountWithoutAPlaceNamesTheCure) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  Mount mount;
  mount.kind = Mount::Kind::fresh;
  mount.target = "/usr/no such place/here";
  spec.policy.filesystem.mounts.push_back(mount);
  auto sandbox = Sandbox::start(spec);
  ASSERT_FALSE(sandbox);
  EXPECT_THAT(sandbox.error().line(), ::testing::HasSubstr("make it on the host"));
}

// As they would be where each seed was written at its time: a directory changes with each entry.
TEST_F(SandboxFiles, DirectoriesThatNoSeedNamesAreAsOldAsTheirNewestEntry) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  auto add = [&](const char* path, std::int64_t time) {
    spec.seed.push_back(seed(path, "x\n"));
    spec.seed.back().mtime = time;
  };
  add("/home/user/deep/one/first", 1600000000);
  add("/home/user/deep/two/second", 1700000000);
  add("/home/user/deep/one/third", 1650000000);
  start(spec);
  EXPECT_EQ(run("cd /home/user && stat -c '%n %Y' deep deep/one deep/two").output,
            "deep 1700000000\ndeep/one 1650000000\ndeep/two 1700000000\n");
}

TEST_F(SandboxFiles, SeedFilesAreThereWithTheirTimes) {
  start(seeded());
  EXPECT_EQ(run("cat /home/user/notes.txt").output, "old\n");
  EXPECT_EQ(run("stat -c %Y /home/user/keep/b.log").output, "1700000000\n");
  EXPECT_EQ(run("echo more >> /home/user/notes.txt").end.exit_code, 0);
}

// A lastlog is a third of a megabyte, of which a record or two are written.
TEST_F(SandboxFiles, SeedsInPiecesTakeTheRoomOfTheirPieces) {
  SandboxSpec spec = seeded();
  SeedFile file = seed("/home/user/records", "");
  file.pieces = {{292, "first"}, {300000, "second"}};
  spec.seed.push_back(std::move(file));
  start(std::move(spec));
  EXPECT_EQ(run("wc -c < /home/user/records").output, "300006\n");
  EXPECT_EQ(run("tr -d '\\0' < /home/user/records").output, "firstsecond");
  EXPECT_EQ(run("head -c 297 /home/user/records | tail -c 5").output, "first");
  EXPECT_EQ(run("[ $(stat -c %b /home/user/records) -le 16 ]").end.exit_code, 0);
}

// A scenario's link and a file whose path goes through it, or a directory in its place: outside,
// where they are written, the link would lead into the host's tree.
TEST_F(SandboxFiles, SeedsDoNotFollowLinksOutOfTheSandbox) {
  auto host = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(host);
  ::chmod(host->path().c_str(), 0751);
  SeedFile link = seed("/home/user/link", host->path().string());
  link.kind = SeedFile::Kind::symlink;
  SeedFile directory = seed("/home/user/link", "");
  directory.kind = SeedFile::Kind::directory;
  directory.mode = 0700;
  for (const SeedFile& through :
       {seed("/home/user/link/file", "x"), seed("/home/user/link/new/file", "x"), directory}) {
    SandboxSpec spec{test_policy(), {link, through}, nullptr};
    auto sandbox = Sandbox::start(spec);
    ASSERT_FALSE(sandbox) << through.path;
    EXPECT_THAT(sandbox.error().line(), HasSubstr("link"));
    EXPECT_TRUE(std::filesystem::is_empty(host->path())) << through.path;
    struct stat info {};
    ASSERT_EQ(::stat(host->path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0751U) << through.path;
  }
  // The control: the link alone is a seed as any other.
  start({test_policy(), {link}, nullptr});
  EXPECT_EQ(run("readlink /home/user/link").output, host->path().string() + "\n");
}

TEST_F(SandboxFiles, UntouchedSandboxHasNoChanges) {
  start(seeded());
  run("cat /home/user/notes.txt > /dev/null; ls -laR /home /tmp /etc > /dev/null 2>&1");
  SandboxEnd end = stop();
  EXPECT_TRUE(end.changes.empty()) << end.changes.front().path;
  EXPECT_TRUE(end.changes_complete);
}

TEST_F(SandboxFiles, ChangesAreAddedModifiedDeleted) {
  if (const std::string reason = no_marks(); !reason.empty()) GTEST_SKIP() << reason;
  start(seeded());
  run("echo new > /home/user/notes.txt; rm -r /home/user/keep; echo x > /tmp/added; chmod 4755 "
      "/tmp/added;"
      "ln -s /etc/shadow /tmp/link; mkfifo /tmp/fifo");
  auto contents = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(contents);
  SandboxEnd end = stop(contents->path().string());
  const FileChange* notes = change(end, "/home/user/notes.txt");
  ASSERT_NE(notes, nullptr);
  EXPECT_EQ(notes->kind, FileChange::Kind::modified);
  EXPECT_EQ(notes->sha256, to_hex(sha256("new\n")));
  EXPECT_EQ(read_file(contents->path() / notes->sha256).value(), "new\n");
  for (const char* path : {"/home/user/keep", "/home/user/keep/a.log", "/home/user/keep/b.log"}) {
    const FileChange* gone = change(end, path);
    ASSERT_NE(gone, nullptr) << path;
    EXPECT_EQ(gone->kind, FileChange::Kind::deleted);
  }
  const FileChange* added = change(end, "/tmp/added");
  ASSERT_NE(added, nullptr);
  EXPECT_EQ(added->kind, FileChange::Kind::added);
  EXPECT_EQ(added->mode, 04755U);
  EXPECT_EQ(added->uid, 1000U);
  const FileChange* link = change(end, "/tmp/link");
  ASSERT_NE(link, nullptr);
  EXPECT_EQ(link->link_target, "/etc/shadow");
  EXPECT_EQ(change(end, "/tmp/fifo")->type, FileChange::Type::fifo);
}

TEST_F(SandboxFiles, ReplacedDirectoryListsWhatItHid) {
  if (const std::string reason = no_marks(); !reason.empty()) GTEST_SKIP() << reason;
  start(seeded());
  run("rm -r /home/user/keep; mkdir /home/user/keep; echo c > /home/user/keep/c.log");
  SandboxEnd end = stop();
  ASSERT_NE(change(end, "/home/user/keep/a.log"), nullptr);
  EXPECT_EQ(change(end, "/home/user/keep/a.log")->kind, FileChange::Kind::deleted);
  ASSERT_NE(change(end, "/home/user/keep/c.log"), nullptr);
  EXPECT_EQ(change(end, "/home/user/keep/c.log")->kind, FileChange::Kind::added);
}

TEST_F(SandboxFiles, AnythingElseInADirectorysPlaceListsWhatItHid) {
  if (const std::string reason = no_marks(); !reason.empty()) GTEST_SKIP() << reason;
  for (const char* other : {"echo x > keep", "ln -s notes.txt keep", "mkfifo keep"}) {
    start(seeded());
    run(std::string("cd /home/user; rm -r keep; ") + other);
    SandboxEnd end = stop();
    ASSERT_NE(change(end, "/home/user/keep"), nullptr) << other;
    EXPECT_EQ(change(end, "/home/user/keep")->kind, FileChange::Kind::modified) << other;
    for (const char* path : {"/home/user/keep/a.log", "/home/user/keep/b.log"}) {
      ASSERT_NE(change(end, path), nullptr) << other;
      EXPECT_EQ(change(end, path)->kind, FileChange::Kind::deleted) << other;
    }
  }
}

TEST_F(SandboxFiles, WriteOfTheSameBytesWithTheSameTimeIsNoChange) {
  start(seeded());
  run("cp -p /home/user/keep/b.log /tmp/b && cat /tmp/b > /home/user/keep/b.log && touch -d "
      "@1700000000 "
      "/home/user/keep/b.log && rm /tmp/b");
  EXPECT_EQ(change(stop(), "/home/user/keep/b.log"), nullptr);
}

TEST_F(SandboxFiles, ExtendedAttributesAreCollected) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no python3";
  start(seeded());
  Ran ran = run_argv({"/usr/bin/python3", "-c",
                      "import os\n"
                      "os.mkdir('/tmp/d'); open('/tmp/f','w').close()\n"
                      "try: os.setxattr('/tmp/f', 'user.note', b'a\\0b')\n"
                      "except OSError: print('none', flush=True); os._exit(0)\n"
                      "os.setxattr('/tmp/d', 'user.of', b'x')\n"
                      "t=os.stat('/home/user/notes.txt')\n"
                      "os.setxattr('/home/user/notes.txt', 'user.only', b'')\n"
                      "for i in range(100):\n"
                      "  try: os.setxattr('/tmp/d', 'user.%03d' % i, b'v')\n"
                      "  except OSError: pass\n"});
  EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
  SandboxEnd end = stop();
  if (ran.output == "none\n") GTEST_SKIP() << "files in memory have no attributes on this kernel";
  using Attributes = std::vector<std::pair<std::string, std::string>>;
  ASSERT_NE(change(end, "/tmp/f"), nullptr);
  EXPECT_EQ(change(end, "/tmp/f")->attributes, (Attributes{{"user.note", {"a\0b", 3}}}));
  // Nothing but an attribute was altered.
  ASSERT_NE(change(end, "/home/user/notes.txt"), nullptr);
  EXPECT_EQ(change(end, "/home/user/notes.txt")->attributes, (Attributes{{"user.only", ""}}));
  ASSERT_NE(change(end, "/tmp/d"), nullptr);
  EXPECT_EQ(change(end, "/tmp/d")->attributes.size(), 64U);
  EXPECT_EQ(change(end, "/tmp/d")->note, "unreadable attributes");
  // What is written is what is read back.
  auto directory = TemporaryDirectory::create("gyges-changes");
  ASSERT_TRUE(directory);
  ASSERT_TRUE(write_changes(directory->path(), end));
  auto again = read_changes(directory->path());
  ASSERT_TRUE(again) << again.error().line();
  ASSERT_EQ(again->size(), end.changes.size());
  for (std::size_t i = 0; i < again->size(); ++i) {
    EXPECT_EQ((*again)[i].path, end.changes[i].path);
    EXPECT_EQ((*again)[i].attributes, end.changes[i].attributes);
  }
}

TEST_F(SandboxFiles, AlteredTimeAloneIsAChange) {
  start(seeded());
  run("touch -d @1600000000 /home/user/keep/b.log");
  EXPECT_NE(change(stop(), "/home/user/keep/b.log"), nullptr);
}

TEST_F(SandboxFiles, UnreadableTreesAreCollected) {
  start();
  run("mkdir -p /tmp/d/e && echo x > /tmp/d/e/f && chmod 0 /tmp/d/e/f /tmp/d/e /tmp/d");
  SandboxEnd end = stop();
  EXPECT_EQ(change(end, "/tmp/d")->mode, 0U);
  ASSERT_NE(change(end, "/tmp/d/e/f"), nullptr);
  EXPECT_EQ(change(end, "/tmp/d/e/f")->sha256, to_hex(sha256("x\n")));
  EXPECT_TRUE(end.changes_complete);
}

TEST_F(SandboxFiles, OverlayKeepsTheHostsDirectoryAsItIs) {
  auto host = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(host);
  ::chmod(host->path().c_str(), 0777);
  ASSERT_TRUE(write_file_atomically(host->path() / "file", "host\n", 0666));
  SandboxSpec spec{test_policy(), {}, nullptr};
  Mount mount;
  mount.kind = Mount::Kind::overlay;
  mount.target = "/project";
  mount.source = host->path().string();
  spec.policy.filesystem.mounts.push_back(mount);
  start(spec);
  EXPECT_EQ(run("cat /project/file; echo inside > /project/file; echo n > /project/new; cat "
                "/project/file")
                .output,
            "host\ninside\n");
  SandboxEnd end = stop();
  EXPECT_EQ(read_file(host->path() / "file").value(), "host\n");
  EXPECT_FALSE(std::filesystem::exists(host->path() / "new"));
  ASSERT_NE(change(end, "/project/file"), nullptr);
  EXPECT_EQ(change(end, "/project/file")->kind, FileChange::Kind::modified);
  ASSERT_NE(change(end, "/project/new"), nullptr);
}

SandboxSpec with_overlay(const std::filesystem::path& source, const std::string& target) {
  ::chmod(source.c_str(), 0777);
  SandboxSpec spec{test_policy(), {}, nullptr};
  Mount mount;
  mount.kind = Mount::Kind::overlay;
  mount.target = target;
  mount.source = source.string();
  spec.policy.filesystem.mounts.push_back(mount);
  return spec;
}

TEST_F(SandboxFiles, AFileKeepsItsNumberWhenItIsLinked) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "the kernel finds a link's origin for root alone (Linux 6.18)";
  auto host = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(host);
  ASSERT_TRUE(write_file_atomically(host->path() / "file", "host\n", 0666));
  start(with_overlay(host->path(), "/project"));
  const std::string before = run("stat -c %d:%i /project/file").output;
  EXPECT_EQ(run("cd /project && ln file link && stat -c %d:%i link file").output, before + before);
}

// git compares the numbers, too, when it clones a directory by linking its files. Without root's
// numbers it says so, and docs/troubleshooting.md names what works.
TEST_F(SandboxFiles, GitClonesADirectory) {
  auto host = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(host);
  const std::string make = "cd " + host->path().string() +
                           " && git init -q one && cd one && echo x > f && git add f && "
                           "git -c user.name=a -c user.email=a commit -qm x > /dev/null 2>&1";
  if (::system(make.c_str()) != 0) GTEST_SKIP() << "no git here";
  start(with_overlay(host->path(), "/project"));
  const Ran linked = run("cd /project && git clone -q ./one linked && cat linked/f");
  if (::geteuid() == 0 || linked.end.exit_code == 0)
    EXPECT_EQ(linked.output, "x\n");
  else
    EXPECT_THAT(linked.output, HasSubstr("hardlink different from source"));
  EXPECT_EQ(run("cd /project && git clone -q --no-hardlinks ./one copied && cat copied/f").output,
            "x\n");
  EXPECT_EQ(run("cd /project && git clone -q file://$PWD/one sent && cat sent/f").output, "x\n");
  EXPECT_EQ(run("cd /project && git clone -q ./one /tmp/elsewhere && cat /tmp/elsewhere/f").output,
            "x\n");
}

TEST_F(SandboxFiles, TheCallersFilesAreTheAgentsInside) {
  auto host = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(host);
  std::filesystem::create_directory(host->path() / "sub");
  ASSERT_TRUE(write_file_atomically(host->path() / "sub" / "file", "host\n", 0600));
  SandboxSpec spec{test_policy(), {}, nullptr};
  Mount mount;
  mount.kind = Mount::Kind::overlay;
  mount.target = mount.source = host->path().string();
  spec.policy.filesystem.mounts.push_back(mount);
  start(spec);
  std::string file = mount.target + "/sub/file";
  EXPECT_EQ(run("stat -c %u " + file + " && echo more >> " + file + " && cat " + file).output,
            "1000\nhost\nmore\n");
  SandboxEnd end = stop();
  ASSERT_EQ(end.changes.size(), 1U);
  EXPECT_EQ(end.changes[0].path, file);
  EXPECT_EQ(read_file(host->path() / "sub" / "file").value(), "host\n");
}

TEST_F(SandboxFiles, TheAgentCannotForgeADeletion) {
  start(seeded());
  // The mark by which an overlay hides a directory's old content, set by the agent itself. Where
  // the overlay keeps its marks in user.* the kernel refuses; elsewhere it means nothing.
  Ran ran =
      run("cd /home/user/keep && touch new && python3 -c \"import os; os.setxattr('.', "
          "'user.overlay.opaque', b'y'); print('set')\"");
  if (ran.end.exit_code == 127) GTEST_SKIP() << "no python3 to set an attribute with";
  if (ran.output.find("Operation not supported") != std::string::npos && !memory_has_attributes())
    GTEST_SKIP() << "files in memory have no attributes on this kernel";
  if (::geteuid() == 0) {
    EXPECT_EQ(ran.output, "set\n");  // the attempt itself works
  }
  EXPECT_EQ(change(stop(), "/home/user/keep/a.log"), nullptr);
}

TEST_F(SandboxFiles, MasksNeedNoDevices) {
  auto directory = TemporaryDirectory::create("gyges-mask");
  ASSERT_TRUE(directory);
  for (const char* name : {"one", "two", "shown"})
    ASSERT_TRUE(write_file_atomically(directory->path() / name, "secret\n"));
  ASSERT_EQ(::chmod(directory->path().c_str(), 0755), 0);
  for (const std::vector<std::string>& devices :
       {std::vector<std::string>{}, std::vector<std::string>{"null"}}) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    spec.policy.filesystem.devices = devices;
    Mount mount;
    mount.kind = Mount::Kind::overlay;
    mount.target = directory->path().string();
    spec.policy.filesystem.mounts.push_back(mount);
    for (const char* name : {"one", "two", "absent"})
      spec.policy.filesystem.masked.push_back((directory->path() / name).string());
    start(spec);
    Ran ran = run("cd " + mount.target +
                  "; cat one two /proc/kallsyms; cat shown; "
                  "echo x 2>&- >> one; cat one two");
    EXPECT_EQ(ran.output, "secret\n") << devices.size();
    EXPECT_TRUE(stop().changes.empty()) << devices.size();
  }
}

TEST_F(SandboxFiles, SeedOutsideWritableDirectoriesIsAnError) {
  SandboxSpec spec{test_policy(), {seed("/usr/x", "")}, nullptr};
  auto sandbox = Sandbox::start(spec);
  ASSERT_FALSE(sandbox);
  EXPECT_THAT(sandbox.error().line(), HasSubstr("/usr/x"));
  spec.seed[0].path = "/home/user/../../etc/passwd";
  EXPECT_FALSE(Sandbox::start(spec));
}

}  // namespace
}  // namespace gyges::isolation
