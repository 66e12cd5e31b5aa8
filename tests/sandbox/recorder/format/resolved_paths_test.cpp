#include "sandbox/recorder/format/resolved_paths.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>

#include "call.h"

namespace gyges::recorder {
namespace {

using testing::Call;
using testing::identity;
using testing::raw;

constexpr std::uint64_t cwd = 0xffffff9c;

std::string only_path(const std::vector<ResolvedPath>& paths) {
  return paths.size() == 1 ? paths[0].path : "(" + std::to_string(paths.size()) + " paths)";
}

TEST(JoinPath, ByText) {
  EXPECT_EQ(join_path("/a/b", "c"), "/a/b/c");
  EXPECT_EQ(join_path("/a/b", "../c//./d/"), "/a/c/d");
  EXPECT_EQ(join_path("/a", "/x/../../y"), "/y");
  EXPECT_EQ(join_path("/", ".."), "/");
  EXPECT_EQ(join_path("", "a/../b"), "a/../b");
  EXPECT_EQ(join_path("", "."), ".");
}

TEST(PathMatches, Globs) {
  EXPECT_TRUE(path_matches("/etc/motd", "/etc/motd"));
  EXPECT_TRUE(path_matches("/etc/*", "/etc/motd"));
  EXPECT_FALSE(path_matches("/etc/*", "/etc/a/b"));
  EXPECT_TRUE(path_matches("/etc/**", "/etc/a/b"));
  EXPECT_TRUE(path_matches("/a/**/b", "/a/b"));
  EXPECT_TRUE(path_matches("/a/**/b", "/a/x/y/b"));
  EXPECT_FALSE(path_matches("/a/**/b", "/a/xb"));
  EXPECT_TRUE(path_matches("**/*.log", "/var/log/x.log"));
  EXPECT_TRUE(path_matches("**", "/anything/at/all"));
  EXPECT_TRUE(path_matches("/x?z", "/xyz"));
  EXPECT_FALSE(path_matches("/x?z", "/x/z"));
  EXPECT_FALSE(path_matches("/etc/*", "/etc"));
  EXPECT_FALSE(path_matches("", "/"));
  // Would take ages by backtracking.
  EXPECT_FALSE(path_matches("**a**a**a**a**a**a**b", std::string(4000, 'a')));
}

TEST(PathResolver, FollowsDirectoriesAndDescriptors) {
  PathResolver resolver;
  std::vector<ResolvedPath> paths = resolver.paths_of(Call("unlink", {1}, 0).path(0, "x").built());
  ASSERT_EQ(paths.size(), 1U);
  EXPECT_FALSE(paths[0].absolute);
  EXPECT_EQ(paths[0].path, "x");
  EXPECT_TRUE(paths[0].mutation);
  EXPECT_EQ(only_path(resolver.paths_of(Call("chdir", {1}, 0).path(0, "/home/u").built())),
            "/home/u");
  EXPECT_EQ(only_path(resolver.paths_of(Call("unlink", {1}, 0).path(0, "x").built())), "/home/u/x");
  resolver.paths_of(Call("chdir", {1}, -ENOENT).path(0, "/nowhere").built());
  EXPECT_EQ(resolver.working_directory(100), "/home/u");
  EXPECT_EQ(only_path(resolver.paths_of(
                Call("openat", {cwd, 1, O_DIRECTORY, 0}, 5).path(1, "../d").built())),
            "/home/d");
  EXPECT_EQ(only_path(resolver.paths_of(
                Call("openat", {5, 1, O_CREAT | O_WRONLY, 0600}, 6).path(1, "log").built())),
            "/home/d/log");
  EXPECT_EQ(resolver.descriptor(100, 6), "/home/d/log");
  paths = resolver.paths_of(Call("write", {6, 1, 3}, 3).built());
  EXPECT_EQ(only_path(paths), "/home/d/log");
  EXPECT_TRUE(paths[0].mutation);
  EXPECT_FALSE(resolver.paths_of(Call("write", {6, 1, 3}, -EIO).built())[0].mutation);
  resolver.paths_of(Call("dup2", {6, 9}, 9).built());
  EXPECT_EQ(resolver.descriptor(100, 9), "/home/d/log");
  resolver.paths_of(Call("close", {6}, 0).built());
  EXPECT_EQ(resolver.descriptor(100, 6), "/home/d/log");  // until the next event
  resolver.paths_of(Call("getpid", {}, 100).built());
  EXPECT_EQ(resolver.descriptor(100, 6), "");
  EXPECT_EQ(only_path(resolver.paths_of(Call("fstat", {9, 1}, 0).built())), "/home/d/log");
  EXPECT_EQ(
      only_path(resolver.paths_of(Call("newfstatat", {9, 1, 2, 0x1000}, 0).path(1, "").built())),
      "/home/d/log");
}

TEST(PathResolver, KernelWins) {
  PathResolver resolver;
  Call race("openat", {cwd, 1, O_RDONLY, 0}, 3);
  race.path(1, "/tmp/harmless");
  race.with(6, CaptureKind::file_identity, identity("/etc/shadow"), 0, Provenance::kernel);
  std::vector<ResolvedPath> paths = resolver.paths_of(race.built());
  ASSERT_EQ(paths.size(), 2U);
  EXPECT_EQ(paths[0].path, "/tmp/harmless");
  EXPECT_EQ(paths[0].provenance, Provenance::enter);
  EXPECT_EQ(paths[1].path, "/etc/shadow");
  EXPECT_EQ(paths[1].argument, result_argument);
  EXPECT_EQ(paths[1].provenance, Provenance::kernel);
  EXPECT_EQ(resolver.descriptor(100, 3), "/etc/shadow");

  Call agreed("openat", {cwd, 1, O_RDONLY, 0}, 4);
  agreed.path(1, "/etc/motd");
  agreed.with(6, CaptureKind::file_identity, identity("/etc/motd"), 0, Provenance::kernel);
  paths = resolver.paths_of(agreed.built());
  ASSERT_EQ(paths.size(), 1U);
  EXPECT_EQ(paths[0].provenance, Provenance::kernel);

  Call known("unlink", {1}, 0);
  known.path(0, "sub/x").with(0, CaptureKind::absolute_path, "/srv/sub/x", 0, Provenance::kernel);
  EXPECT_EQ(only_path(resolver.paths_of(known.built())), "/srv/sub/x");
  EXPECT_EQ(resolver.working_directory(100), "/srv");
}

TEST(PathResolver, NamesDescriptorsInText) {
  PathResolver names;
  Call open("openat", {cwd, 1, O_RDONLY, 0}, 3);
  open.path(1, "/etc/motd").with(6, CaptureKind::file_identity, identity("motd"));
  names.paths_of(open.built());
  EXPECT_EQ(format_event(open.built(), &names),
            R"(openat(AT_FDCWD, "/etc/motd", O_RDONLY) = 3</etc/motd>)");
  Call link("openat", {cwd, 1, O_RDONLY, 0}, 4);
  link.path(1, "/bin/sh").with(6, CaptureKind::file_identity, identity("dash"));
  names.paths_of(link.built());
  EXPECT_EQ(format_event(link.built(), &names),
            R"(openat(AT_FDCWD, "/bin/sh", O_RDONLY) = 4</bin/sh=>dash>)");
  Call close("close", {3}, 0);
  names.paths_of(close.built());
  EXPECT_EQ(format_event(close.built(), &names), "close(3</etc/motd>) = 0");
}

TEST(PathResolver, ChildrenInheritAndExecCloses) {
  PathResolver resolver;
  resolver.paths_of(Call("chdir", {1}, 0).path(0, "/w").built());
  resolver.paths_of(Call("openat", {cwd, 1, O_RDONLY | O_CLOEXEC, 0}, 3).path(1, "a").built());
  resolver.paths_of(Call("openat", {cwd, 1, O_RDONLY, 0}, 4).path(1, "b").built());
  Event start;
  start.kind = EventKind::process_start;
  start.pid = start.tid = 100;
  start.result = 200;
  resolver.paths_of(start);
  EXPECT_EQ(resolver.descriptor(200, 3), "/w/a");
  Event exec;
  exec.kind = EventKind::process_exec;
  exec.pid = exec.tid = 200;
  resolver.paths_of(exec);
  EXPECT_EQ(resolver.descriptor(200, 3), "");
  EXPECT_EQ(resolver.descriptor(200, 4), "/w/b");
  EXPECT_EQ(resolver.descriptor(100, 3), "/w/a");
  EXPECT_EQ(resolver.working_directory(200), "/w");
  Event exit;
  exit.kind = EventKind::process_exit;
  exit.pid = exit.tid = 200;
  resolver.paths_of(exit);
  EXPECT_EQ(resolver.descriptor(200, 4), "");
}

Event started(std::int32_t parent, std::int32_t child, std::uint64_t flags) {
  Event start;
  start.kind = EventKind::process_start;
  start.pid = start.tid = parent;
  start.args[0] = flags;
  start.result = child;
  return start;
}

Event ended(std::int32_t pid, std::int32_t tid) {
  Event exit;
  exit.kind = EventKind::process_exit;
  exit.pid = pid;
  exit.tid = tid;
  return exit;
}

TEST(PathResolver, AProcessGoesOnWithoutItsFirstThread) {
  PathResolver resolver;
  resolver.paths_of(Call("openat", {cwd, 1, O_RDONLY, 0}, 4).path(1, "/w/b").built());
  constexpr std::uint64_t thread = CLONE_THREAD | CLONE_FS | CLONE_FILES | CLONE_VM;
  resolver.paths_of(started(100, 101, thread));
  resolver.paths_of(started(100, 102, thread));
  resolver.paths_of(ended(100, 100));
  EXPECT_EQ(resolver.descriptor(100, 4), "/w/b");
  // The first thread was ended by the other one's execution, which takes its number.
  resolver.paths_of(ended(100, 101));
  Event exec;
  exec.kind = EventKind::process_exec;
  exec.pid = exec.tid = 100;
  resolver.paths_of(exec);
  EXPECT_EQ(resolver.descriptor(100, 4), "/w/b");
  resolver.paths_of(started(100, 103, thread));
  resolver.paths_of(ended(100, 100));
  EXPECT_EQ(resolver.descriptor(100, 4), "/w/b");
  resolver.paths_of(ended(100, 103));
  EXPECT_EQ(resolver.descriptor(100, 4), "");
}

// One more call, by this thread.
std::vector<ResolvedPath> by(PathResolver& resolver, Call call, std::int32_t pid,
                             std::int32_t tid = 0) {
  call.event().pid = pid;
  call.event().tid = tid == 0 ? pid : tid;
  return resolver.paths_of(call.built());
}

TEST(PathResolver, TasksShareWhatTheKernelLetsThemShare) {
  PathResolver resolver;
  by(resolver, Call("chdir", {1}, 0).path(0, "/w"), 100);
  resolver.paths_of(started(100, 200, CLONE_FS | CLONE_FILES));
  by(resolver, Call("chdir", {1}, 0).path(0, "/srv"), 200);
  by(resolver, Call("openat", {cwd, 1, O_RDONLY, 0}, 5).path(1, "log"), 200);
  EXPECT_EQ(only_path(by(resolver, Call("access", {1, 0}, 0).path(0, "x"), 100)), "/srv/x");
  EXPECT_EQ(resolver.descriptor(100, 5), "/srv/log");
  // An exec takes the descriptors apart, not the working directory.
  Event exec;
  exec.kind = EventKind::process_exec;
  exec.pid = exec.tid = 200;
  resolver.paths_of(exec);
  by(resolver, Call("close_range", {0, ~0ULL, 0}, 0), 200);
  EXPECT_EQ(resolver.descriptor(200, 5), "");
  EXPECT_EQ(resolver.descriptor(100, 5), "/srv/log");
  by(resolver, Call("chdir", {1}, 0).path(0, "/w"), 200);
  EXPECT_EQ(resolver.working_directory(100), "/w");
  // A thread with a directory of its own, and one that takes its own later.
  resolver.paths_of(started(100, 101, CLONE_THREAD | CLONE_FILES));
  resolver.paths_of(started(100, 102, CLONE_THREAD | CLONE_FILES | CLONE_FS));
  by(resolver, Call("chdir", {1}, 0).path(0, "/own"), 100, 101);
  EXPECT_EQ(only_path(by(resolver, Call("access", {1, 0}, 0).path(0, "x"), 100, 101)), "/own/x");
  EXPECT_EQ(only_path(by(resolver, Call("access", {1, 0}, 0).path(0, "x"), 100, 102)), "/w/x");
  by(resolver, Call("unshare", {CLONE_FS | CLONE_FILES}, 0), 100, 102);
  by(resolver, Call("close", {5}, 0), 100, 102);
  by(resolver, Call("chdir", {1}, 0).path(0, "/third"), 100, 102);
  EXPECT_EQ(resolver.descriptor(100, 5, 102), "");
  EXPECT_EQ(resolver.descriptor(100, 5, 101), "/srv/log");
  EXPECT_EQ(resolver.working_directory(100, 102), "/third");
  EXPECT_EQ(resolver.working_directory(100), "/w");
}

TEST(PathResolver, DescriptorsEndByMoreThanClose) {
  PathResolver resolver;
  for (std::int64_t fd = 3; fd < 8; ++fd)
    by(resolver, Call("openat", {cwd, 1, O_RDONLY, 0}, fd).path(1, "/etc/motd"), 100);
  by(resolver, Call("close", {3}, -EBADF), 100);
  by(resolver, Call("close_range", {6, 6, 0}, 0), 100);
  by(resolver, Call("close_range", {7, 9, CLOSE_RANGE_CLOEXEC}, 0), 100);
  by(resolver, Call("fcntl", {4, F_SETFD, FD_CLOEXEC}, 0), 100);
  EXPECT_EQ(resolver.descriptor(100, 3), "/etc/motd");
  EXPECT_EQ(resolver.descriptor(100, 6), "");
  EXPECT_EQ(resolver.descriptor(100, 7), "/etc/motd");
  Event exec;
  exec.kind = EventKind::process_exec;
  exec.pid = exec.tid = 100;
  resolver.paths_of(exec);
  EXPECT_EQ(resolver.descriptor(100, 4), "");
  EXPECT_EQ(resolver.descriptor(100, 5), "/etc/motd");
  EXPECT_EQ(resolver.descriptor(100, 7), "");
  by(resolver, Call("close", {3}, -EIO), 100);
  const std::int32_t pair[] = {5, 6};
  by(resolver, Call("pipe2", {1, 0}, 0).with(0, CaptureKind::structure_out, raw(pair)), 100);
  EXPECT_EQ(resolver.descriptor(100, 3), "");
  EXPECT_EQ(resolver.descriptor(100, 5), "pipe");
}

TEST(PathResolver, DescriptorsOfWhatIsNoFileHaveWordsThatAreNoPaths) {
  PathResolver resolver;
  by(resolver, Call("eventfd2", {0, O_CLOEXEC}, 3), 100);
  by(resolver, Call("memfd_create", {1, MFD_CLOEXEC}, 4).with(0, CaptureKind::text, "a b"), 100);
  by(resolver, Call("socket", {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0}, 5), 100);
  by(resolver, Call("socket", {AF_INET6, SOCK_DGRAM, 0}, 6), 100);
  by(resolver, Call("dup", {5}, 7), 100);
  by(resolver, Call("pidfd_open", {100, 0}, 8), 100);
  by(resolver, Call("accept4", {5, 0, 0, 0}, 9), 100);
  EXPECT_EQ(resolver.descriptor(100, 3), "anon_inode:[eventfd]");
  EXPECT_EQ(resolver.descriptor(100, 4), "memfd:a b");
  EXPECT_EQ(resolver.descriptor(100, 5), "TCP");
  EXPECT_EQ(resolver.descriptor(100, 6), "UDPv6");
  EXPECT_EQ(resolver.descriptor(100, 7), "TCP");
  EXPECT_EQ(resolver.descriptor(100, 9), "") << "nothing is known of it";
  sockaddr_in web{};
  web.sin_family = AF_INET;
  web.sin_port = htons(80);
  web.sin_addr.s_addr = htonl(0xc0000207);
  auto connect = [&](std::int64_t result) {
    by(resolver, Call("connect", {5, 1, 16}, result).with(1, CaptureKind::sockaddr_in, raw(web)),
       100);
  };
  connect(-ECONNREFUSED);
  EXPECT_EQ(resolver.descriptor(100, 5), "TCP");
  connect(-EINPROGRESS);
  EXPECT_EQ(resolver.descriptor(100, 5), "192.0.2.7:80");
  // Nothing of this is a file or a directory to anybody.
  by(resolver, Call("chdir", {1}, 0).path(0, "/w"), 100);
  EXPECT_TRUE(resolver.paths_of(Call("ftruncate", {4, 9}, 0).built()).empty());
  EXPECT_NE(only_path(by(resolver, Call("openat", {4, 1, 0, 0}, -ENOTDIR).path(1, "x"), 100)),
            "memfd:a b/x");
  Event exec;
  exec.kind = EventKind::process_exec;
  exec.pid = exec.tid = 100;
  resolver.paths_of(exec);
  for (const std::int32_t fd : {3, 4, 5, 8}) EXPECT_EQ(resolver.descriptor(100, fd), "") << fd;
  EXPECT_EQ(resolver.descriptor(100, 6), "UDPv6");
  EXPECT_EQ(resolver.descriptor(100, 7), "TCP");
}

TEST(PathResolver, RenameAndLinkChangeWhatTheyShould) {
  PathResolver resolver;
  std::vector<ResolvedPath> paths =
      resolver.paths_of(Call("rename", {1, 2}, 0).path(0, "/a").path(1, "/b").built());
  ASSERT_EQ(paths.size(), 2U);
  EXPECT_TRUE(paths[0].mutation && paths[1].mutation);
  paths = resolver.paths_of(Call("link", {1, 2}, 0).path(0, "/a").path(1, "/b").built());
  EXPECT_FALSE(paths[0].mutation);
  EXPECT_TRUE(paths[1].mutation);
}

}  // namespace
}  // namespace gyges::recorder
