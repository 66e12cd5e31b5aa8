// Carrying hostile changes over to a real directory.
#include "sandbox/isolation/changes_apply.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>

#include "base/files.h"
#include "base/hash.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/hostile_tree.h"

namespace gyges::isolation {
namespace {

namespace fs = std::filesystem;

// Two of these take all the room there is: what comes after them, in whatever order, must neither
// be read as a value of zeros nor end the reader.
TEST(ReadAttributes, NoRoomIsNotWhole) {
  UniqueFd file(::memfd_create("attributes", MFD_CLOEXEC));
  ASSERT_TRUE(file);
  const std::string half(32U << 10U, 'x');
  auto add = [&](const char* name) {
    return ::fsetxattr(file.get(), name, half.data(), half.size(), 0) == 0;
  };
  if (!add("user.a")) {
    ASSERT_EQ(errno, EOPNOTSUPP);
    GTEST_SKIP() << "memory files take no extended attributes before Linux 6.6";
  }
  ASSERT_TRUE(add("user.b"));
  ExtendedAttributes fit;
  EXPECT_TRUE(read_attributes(file.get(), "", fit));
  EXPECT_EQ(fit.size(), 2U);
  ASSERT_TRUE(add("user.c"));
  ASSERT_TRUE(add("user.d"));
  ExtendedAttributes some;
  EXPECT_FALSE(read_attributes(file.get(), "", some));
  EXPECT_EQ(some.size(), 2U);
  for (const auto& [name, value] : some) EXPECT_TRUE(value == half) << name;
}

class ApplyChanges : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-test");
    ASSERT_TRUE(directory);
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    fs::create_directories(bundle() / "files" / "content");
    fs::create_directories(target());
    ASSERT_TRUE(write_file_atomically(outside(), "outside\n"));
  }

  fs::path bundle() const { return directory_->path() / "bundle"; }
  fs::path target() const { return directory_->path() / "target"; }
  fs::path outside() const { return directory_->path() / "outside"; }

  void add(FileChange::Kind kind, FileChange::Type type, const std::string& path,
           const std::string& content = "", unsigned mode = 0644) {
    FileChange change;
    change.kind = kind;
    change.type = type;
    change.path = path;
    change.mode = mode;
    if (type == FileChange::Type::symlink) change.link_target = content;
    if (type == FileChange::Type::file && kind != FileChange::Kind::deleted) {
      change.sha256 = to_hex(sha256(content));
      change.size = content.size();
      ASSERT_TRUE(write_file_atomically(bundle() / "files" / "content" / change.sha256, content));
    }
    end_.changes.push_back(change);
  }

  std::map<std::string, AppliedChange> apply(ApplyOptions options = {}) {
    EXPECT_TRUE(write_changes(bundle(), end_));
    options.to = target();
    if (options.from == "/") options.from = "/w";
    auto applied = apply_changes(bundle(), options);
    EXPECT_TRUE(applied) << applied.error().line();
    std::map<std::string, AppliedChange> by_path;
    if (applied)
      for (const AppliedChange& change : *applied) by_path[change.path] = change;
    return by_path;
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  SandboxEnd end_;
};

using Kind = FileChange::Kind;
using Type = FileChange::Type;

TEST_F(ApplyChanges, WritesMakesAndDeletes) {
  fs::create_directories(target() / "old");
  ASSERT_TRUE(write_file_atomically(target() / "old" / "f", "x"));
  ASSERT_TRUE(write_file_atomically(target() / "changed", "before"));
  add(Kind::added, Type::directory, "/w/new", "", 0755);
  add(Kind::added, Type::file, "/w/new/f", "content", 0600);
  add(Kind::added, Type::symlink, "/w/new/link", "f");
  add(Kind::modified, Type::file, "/w/changed", "after");
  add(Kind::deleted, Type::directory, "/w/old");
  add(Kind::deleted, Type::file, "/w/old/f");
  add(Kind::added, Type::file, "/elsewhere/f", "no");
  auto applied = apply();
  for (const auto& [path, change] : applied) EXPECT_EQ(change.reason, "") << path;
  EXPECT_EQ(read_file(target() / "new" / "f").value(), "content");
  EXPECT_EQ(read_file(target() / "new" / "link").value(), "content");
  EXPECT_EQ(read_file(target() / "changed").value(), "after");
  EXPECT_FALSE(fs::exists(target() / "old"));
  EXPECT_EQ(applied.size(), 6U);
}

TEST_F(ApplyChanges, DryRunChangesNothing) {
  add(Kind::added, Type::file, "/w/f", "content");
  EXPECT_EQ(apply({.dry_run = true}).at("f").action, "write");
  EXPECT_TRUE(fs::is_empty(target()));
}

// What it foresees is what then happens.
TEST_F(ApplyChanges, DryRunForeseesWhatIsSkipped) {
  fs::create_directories(target() / "directory");
  ASSERT_TRUE(write_file_atomically(target() / "plain", "x"));
  fs::create_symlink(directory_->path(), target() / "up");
  add(Kind::added, Type::directory, "/w/new", "", 0755);
  add(Kind::added, Type::file, "/w/new/f", "content");
  add(Kind::added, Type::file, "/w/nowhere/f", "content");
  add(Kind::added, Type::file, "/w/up/f", "content");
  add(Kind::added, Type::file, "/w/plain/f", "content");
  add(Kind::added, Type::file, "/w/directory", "content");
  add(Kind::added, Type::directory, "/w/plain", "", 0755);
  add(Kind::added, Type::directory, "/w/up", "", 0755);
  add(Kind::deleted, Type::file, "/w/gone/f");
  // Directories of which all, and not all, is to go.
  for (const char* path : {"whole", "part", "becomes_file", "becomes_link", "stays"}) {
    fs::create_directories(target() / path / "d");
    ASSERT_TRUE(write_file_atomically(target() / path / "d" / "f", "x"));
  }
  ASSERT_TRUE(write_file_atomically(target() / "part" / "of the host", "x"));
  for (const char* path : {"/w/whole", "/w/part", "/w/becomes_file", "/w/becomes_link"}) {
    add(Kind::deleted, Type::directory, path + std::string("/d"));
    add(Kind::deleted, Type::file, path + std::string("/d/f"));
  }
  add(Kind::deleted, Type::directory, "/w/whole");
  add(Kind::deleted, Type::directory, "/w/part");
  add(Kind::modified, Type::file, "/w/becomes_file", "content");
  add(Kind::modified, Type::symlink, "/w/becomes_link", "new");
  add(Kind::modified, Type::file, "/w/stays", "content");
  add(Kind::added, Type::file, "/w/forged", "forged");
  add(Kind::added, Type::file, "/w/lost", "lost");
  const fs::path contents = bundle() / "files" / "content";
  ASSERT_TRUE(write_file_atomically(contents / to_hex(sha256("forged")), "FORGED"));
  fs::remove(contents / to_hex(sha256("lost")));
  fs::create_directories(target() / "closed");
  fs::permissions(target() / "closed", fs::perms::owner_read | fs::perms::owner_exec);
  add(Kind::added, Type::file, "/w/closed/f", "content");
  auto foreseen = apply({.dry_run = true});
  EXPECT_FALSE(fs::exists(target() / "new"));
  EXPECT_TRUE(fs::exists(target() / "whole" / "d" / "f"));
  auto applied = apply();
  for (const auto& [path, change] : applied) {
    EXPECT_EQ(foreseen.at(path).action, change.action) << path;
    EXPECT_EQ(foreseen.at(path).reason, change.reason) << path;
  }
  EXPECT_EQ(applied.at("new/f").action, "write");
  EXPECT_EQ(applied.at("whole").action, "delete");
  EXPECT_EQ(applied.at("part").action, "skip");
  EXPECT_EQ(applied.at("becomes_file").action, "write");
  EXPECT_EQ(applied.at("becomes_link").action, "link");
  EXPECT_EQ(applied.at("stays").action, "skip");
  EXPECT_EQ(applied.at("forged").action, "skip");
  EXPECT_EQ(applied.at("lost").action, "skip");
  EXPECT_EQ(applied.at("closed/f").action, ::geteuid() == 0 ? "write" : "skip");
}

// Somebody else exchanges directories for links while the changes are carried over.
TEST_F(ApplyChanges, RacesWithLinksLeadNowhere) {
  const fs::path other = directory_->path() / "other";
  fs::create_directories(other / "d");
  ASSERT_TRUE(write_file_atomically(other / "keep", "kept\n"));
  fs::create_directories(target() / "a" / "d");
  fs::create_symlink(other, target() / "link");
  for (int i = 0; i < 400; ++i) {
    add(Kind::added, Type::file, "/w/a/" + std::to_string(i), "evil");
    add(Kind::added, Type::file, "/w/a/d/" + std::to_string(i), "evil");
    add(Kind::added, Type::directory, "/w/a/m" + std::to_string(i), "", 0777);
    add(Kind::deleted, Type::file, "/w/a/keep");
  }
  std::atomic<bool> done = false;
  std::thread exchanger([&] {
    while (!done)
      ::syscall(SYS_renameat2, AT_FDCWD, (target() / "a").c_str(), AT_FDCWD,
                (target() / "link").c_str(), 2 /* RENAME_EXCHANGE */);
  });
  std::size_t written = 0;
  for (int round = 0; round < 5; ++round)
    for (const auto& [path, change] : apply()) written += change.action == "write" ? 1 : 0;
  done = true;
  exchanger.join();
  std::printf("%zu of 4000 files were written before the exchange\n", written);
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::recursive_directory_iterator(other)) ++entries;
  EXPECT_EQ(entries, 2U);
  EXPECT_EQ(read_file(other / "keep").value(), "kept\n");
}

TEST_F(ApplyChanges, NothingLeavesTheDirectory) {
  fs::create_symlink(directory_->path(), target() / "up");
  fs::create_symlink(outside(), target() / "file");
  add(Kind::modified, Type::file, "/w/up/outside", "evil");
  add(Kind::deleted, Type::file, "/w/up/bundle/files/changes.jsonl");
  add(Kind::added, Type::file, "/w/../outside", "evil");
  add(Kind::modified, Type::file, "/w/file", "evil");
  add(Kind::added, Type::symlink, "/w/absolute", "/etc/shadow");
  add(Kind::added, Type::symlink, "/w/above", "../outside");
  add(Kind::added, Type::directory, "/w/up", "", 0777);
  auto applied = apply();
  for (const char* path :
       {"up/outside", "up/bundle/files/changes.jsonl", "../outside", "absolute", "above", "up"})
    EXPECT_EQ(applied.at(path).action, "skip") << path;
  EXPECT_EQ(read_file(outside()).value(), "outside\n");
  EXPECT_TRUE(fs::exists(bundle() / "files" / "changes.jsonl"));
  // The link itself is replaced, not what it points to.
  EXPECT_EQ(read_file(target() / "file").value(), "evil");
  EXPECT_FALSE(fs::is_symlink(target() / "file"));
}

TEST_F(ApplyChanges, PrivilegeAndTrapsAreNotCarriedOver) {
  add(Kind::added, Type::file, "/w/setuid", "x", 06755);
  add(Kind::added, Type::fifo, "/w/fifo");
  add(Kind::added, Type::device, "/w/device");
  add(Kind::added, Type::file, "/w/.git/hooks/pre-commit", "evil", 0755);
  add(Kind::added, Type::file, "/w/.envrc", "evil");
  add(Kind::added, Type::file, "/w/bare/HEAD", "ref: refs/heads/x");
  add(Kind::added, Type::file, "/w/CLAUDE.md", "evil");
  add(Kind::added, Type::file, "/w/sub/.GIT/config", "evil");
  add(Kind::added, Type::file, "/w/.Npmrc", "evil");
  add(Kind::modified, Type::file, "/w/.config/autostart/x.desktop", "evil");
  auto applied = apply();
  for (const char* path : {"fifo", "device", ".git/hooks/pre-commit", ".envrc", "bare/HEAD",
                           "CLAUDE.md", "sub/.GIT/config", ".Npmrc", ".config/autostart/x.desktop"})
    EXPECT_EQ(applied.at(path).action, "skip") << path;
  struct stat info {};
  ASSERT_EQ(::stat((target() / "setuid").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0755U);
  EXPECT_EQ(apply({.startup_files = true}).at(".envrc").action, "write");
}

// What a dot hides is for tools; nobody knows all their names.
TEST_F(ApplyChanges, HiddenFilesAreForToolsButForPlainData) {
  for (const char* path : {".bazelrc", ".mvn/extensions.xml", ".eslintrc.js", ".zed/tasks.json",
                           "a/.tool_of_tomorrow", ".github/workflows/x.yml", "b/head",
                           // Which program a version manager runs: asdf takes path:/w/evil.
                           ".tool-versions", ".python-version", "a/.nvmrc"})
    add(Kind::added, Type::file, std::string("/w/") + path, "evil");
  for (const char* path : {".gitignore", "a/.clang-format", "a.b/c.d", "header"})
    add(Kind::added, Type::file, std::string("/w/") + path, "data");
  for (const char* path : {"a", "a.b"})
    add(Kind::added, Type::directory, std::string("/w/") + path, "", 0755);
  for (const auto& [path, change] : apply({.from = "/w/"}))
    if (change.action != "make directory") {
      EXPECT_EQ(change.action, path == ".gitignore" || path == "a/.clang-format" ||
                                       path == "a.b/c.d" || path == "header"
                                   ? "write"
                                   : "skip")
          << path;
    }
}

TEST_F(ApplyChanges, ContentThatIsNotWhatWasRecordedIsLeftOut) {
  add(Kind::added, Type::file, "/w/f", "content");
  ASSERT_TRUE(
      write_file_atomically(bundle() / "files" / "content" / to_hex(sha256("content")), "CONTENT"));
  EXPECT_THAT(apply().at("f").reason, ::testing::HasSubstr("recorded"));
  EXPECT_TRUE(fs::is_empty(target()));
}

TEST_F(ApplyChanges, PathsThatAreNoTextSurvive) {
  add(Kind::added, Type::file, "/w/\xff\n", "content");
  apply();
  EXPECT_TRUE(fs::exists(target() / "\xff\n"));
}

TEST_F(ApplyChanges, ABrokenListIsAnErrorThatNamesTheLine) {
  for (const char* text : {"x", "{}", "[]", R"({"kind":"added","type":"file","path":"x"})",
                           R"({"kind":"added","type":"file","path":"/x","mode":-1,"size":0})",
                           R"({"kind":1,"type":2,"path":3})"}) {
    ASSERT_TRUE(write_file_atomically(bundle() / "files" / "changes.jsonl", text));
    auto changes = read_changes(bundle());
    ASSERT_FALSE(changes) << text;
    EXPECT_THAT(changes.error().line(), ::testing::HasSubstr("changes.jsonl:1"));
  }
}

}  // namespace
}  // namespace gyges::isolation
