#include "sandbox/recorder/format/event_text.h"
#include "base/json.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "call.h"
#include "sandbox/recorder/format/structure_layouts.h"
#include "sandbox/recorder/format/structure_text.h"

namespace gyges::recorder {
namespace {

using testing::Call;
using testing::identity;
using testing::raw;

constexpr std::uint64_t cwd = 0xffffff9c;

// A name cannot end where it stands and go on as another call.
TEST(EventText, NamesOfDescriptorsForgeNothing) {
  EXPECT_EQ(Call("close", {3}, 0)
                .with(0, CaptureKind::file_identity, identity("/tmp/a>) = 0 <\"\\n\n"))
                .text(),
            R"(close(3</tmp/a\x3e) = 0 \x3c\"\\n\n>) = 0)");
}

TEST(EventText, FilesAsStraceShowsThem) {
  EXPECT_EQ(Call("openat", {cwd, 0x1000, O_RDONLY | O_CLOEXEC, 0}, 3)
                .path(1, "/etc/motd")
                .with(6, CaptureKind::file_identity, identity("/etc/motd"))
                .text(),
            R"(openat(AT_FDCWD, "/etc/motd", O_RDONLY|O_CLOEXEC) = 3</etc/motd>)");
  EXPECT_EQ(
      Call("openat", {cwd, 0x1000, O_WRONLY | O_CREAT | O_TRUNC, 0644}, -ENOENT)
          .path(1, "no/such")
          .text(),
      "openat(AT_FDCWD, \"no/such\", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 ENOENT (No such file "
      "or directory)");
  EXPECT_EQ(Call("read", {3, 0x2000, 4096}, 5).with(1, CaptureKind::buffer_out, "hello").text(),
            R"(read(3, "hello", 4096) = 5)");
  EXPECT_EQ(
      Call("read", {3, 0x2000, 4096}, 4000).with(1, CaptureKind::buffer_out, "hello", 4000).text(),
      R"(read(3, "hello"..., 4096) = 4000)");
  EXPECT_EQ(Call("read", {3, 0x2000, 4096}, -EBADF).text(),
            "read(3, 0x2000, 4096) = -1 EBADF (Bad file descriptor)");
  EXPECT_EQ(Call("write", {1, 0x2000, 4}, 4).with(1, CaptureKind::buffer_in, "a\"\n\\").text(),
            R"(write(1, "a\"\n\\", 4) = 4)");
  EXPECT_EQ(Call("close", {3}, 0).with(0, CaptureKind::file_identity, identity("/tmp/x")).text(),
            "close(3</tmp/x>) = 0");
  EXPECT_EQ(Call("unlinkat", {cwd, 1, 0x200}, 0).path(1, "dir").text(),
            R"(unlinkat(AT_FDCWD, "dir", AT_REMOVEDIR) = 0)");
  EXPECT_EQ(Call("renameat2", {cwd, 1, 5, 2, 1}, 0).path(1, "a").path(3, "b").text(),
            R"(renameat2(AT_FDCWD, "a", 5, "b", RENAME_NOREPLACE) = 0)");
  EXPECT_EQ(Call("lseek", {3, static_cast<std::uint64_t>(-10), SEEK_END}, 90).text(),
            "lseek(3, -10, SEEK_END) = 90");
  EXPECT_EQ(Call("chmod", {1, 04755}, 0).path(0, "/bin/x").text(), R"(chmod("/bin/x", 04755) = 0)");
  EXPECT_EQ(Call("umask", {022}, 077).text(), "umask(022) = 077");
  EXPECT_EQ(Call("fchown", {3, ~0U, 5}, 0).text(), "fchown(3, -1, 5) = 0");
  EXPECT_EQ(Call("fcntl", {3, F_SETFL, O_RDWR | O_NONBLOCK}, 0).text(),
            "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0");
  EXPECT_EQ(Call("fcntl", {3, F_GETFL, 0}, O_RDWR).text(),
            "fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)");
  EXPECT_EQ(Call("ioctl", {1, 0x5401, 0x3000}, -ENOTTY).text(),
            "ioctl(1, TCGETS, 0x3000) = -1 ENOTTY (Inappropriate ioctl for device)");
  EXPECT_EQ(Call("getcwd", {0x1000, 4096}, 6)
                .with(0, CaptureKind::buffer_out, std::string("/root\0", 6))
                .text(),
            "getcwd(\"/root\", 4096) = 6");
}

// Calls of one family whose flags share bits and not meanings.
TEST(EventText, FlagsOfTheRightCall) {
  const std::uint16_t step[] = {1, 1, 014000};
  EXPECT_EQ(Call("semop", {0, 1, 1}, 0).with(1, CaptureKind::structure_in, raw(step)).text(),
            "semop(0, [{sem_num=1, sem_op=1, sem_flg=IPC_NOWAIT|SEM_UNDO}], 1) = 0");
  EXPECT_EQ(Call("shmget", {0, 4096, 015600}, 3).text(),
            "shmget(IPC_PRIVATE, 4096, IPC_CREAT|SHM_HUGETLB|SHM_NORESERVE|0600) = 3");
  EXPECT_EQ(Call("sync_file_range", {3, 0, 10, 7}, 0).text(),
            "sync_file_range(3, 0, 10, SYNC_FILE_RANGE_WAIT_BEFORE|SYNC_FILE_RANGE_WRITE|"
            "SYNC_FILE_RANGE_WAIT_AFTER) = 0");
  EXPECT_EQ(Call("userfaultfd", {1}, -EPERM).text(),
            "userfaultfd(UFFD_USER_MODE_ONLY) = -1 EPERM (Operation not permitted)");
}

TEST(EventText, Structures) {
  struct stat status {};
  status.st_mode = S_IFREG | 0644;
  status.st_size = 21;
  EXPECT_EQ(
      Call("newfstatat", {cwd, 1, 2, 0}, 0)
          .path(1, "f")
          .with(2, CaptureKind::structure_out, raw(status))
          .text(),
      R"(newfstatat(AT_FDCWD, "f", {st_mode=S_IFREG|0644, st_uid=0, st_size=21, ...}, 0) = 0)");
  std::timespec time{1, 5};
  EXPECT_EQ(Call("nanosleep", {1, 0}, 0).with(0, CaptureKind::structure_in, raw(time)).text(),
            "nanosleep({tv_sec=1, tv_nsec=5}, NULL) = 0");
  std::uint64_t limits[2] = {1024, ~std::uint64_t{0}};
  EXPECT_EQ(
      Call("prlimit64", {0, 7, 0, 1}, 0).with(3, CaptureKind::structure_out, raw(limits)).text(),
      "prlimit64(0, RLIMIT_NOFILE, NULL, {rlim_cur=1024, rlim_max=RLIM64_INFINITY}) = 0");
  std::uint64_t action[4] = {1, 0x14000000, 0x77, 1U << 16U};
  EXPECT_EQ(
      Call("rt_sigaction", {17, 1, 0, 8}, 0).with(1, CaptureKind::structure_in, raw(action)).text(),
      "rt_sigaction(SIGCHLD, {sa_handler=SIG_IGN, sa_mask=[CHLD], "
      "sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x77}, NULL, 8) = 0");
  int pipes[2] = {3, 4};
  EXPECT_EQ(Call("pipe2", {1, O_CLOEXEC}, 0).with(0, CaptureKind::structure_out, raw(pipes)).text(),
            "pipe2([3, 4], O_CLOEXEC) = 0");
  int exited = 3 << 8;
  EXPECT_EQ(
      Call("wait4", {~0U, 1, 1, 0}, 77).with(1, CaptureKind::structure_out, raw(exited)).text(),
      "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], WNOHANG, NULL) = 77");
  std::uint64_t how[3] = {O_RDONLY, 0, 8};
  EXPECT_EQ(Call("openat2", {5, 1, 2, 24}, 6)
                .path(1, "x")
                .with(2, CaptureKind::structure_in, raw(how))
                .text(),
            R"(openat2(5, "x", {flags=O_RDONLY, mode=0, resolve=RESOLVE_BENEATH}, 24) = 6)");
  // The i386 stat64 has another layout.
  std::string narrow_stat(96, '\0');
  narrow_stat.replace(16, 4, std::string("\xa4\x81\0\0", 4));
  narrow_stat.replace(44, 2, "\x01\x01");
  Call narrow("fstat64", {3, 1}, 0, Abi::i386);
  EXPECT_EQ(narrow.with(1, CaptureKind::structure_out, narrow_stat).text(),
            "fstat64(3, {st_mode=S_IFREG|0644, st_uid=0, st_size=257, ...}) [i386] = 0");
}

TEST(EventText, OfStructuresWithASizeOnlyThatMuchIsShown) {
  std::uint64_t clone[11] = {CLONE_VM, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
  EXPECT_EQ(Call("clone3", {1, 8}, -ENOSYS).with(0, CaptureKind::structure_in, raw(clone)).text(),
            "clone3({flags=CLONE_VM}, 8) = -1 ENOSYS (Function not implemented)");
  EXPECT_EQ(Call("clone3", {1, 20}, 9).with(0, CaptureKind::structure_in, raw(clone)).text(),
            "clone3({flags=CLONE_VM, pidfd=0x7}, 20) = 9")
      << "half a field is none";
  std::uint64_t how[3] = {O_RDONLY, 0, 8};
  EXPECT_EQ(Call("openat2", {5, 1, 2, 100}, -E2BIG)
                .path(1, "x")
                .with(2, CaptureKind::structure_in, raw(how))
                .text(),
            R"(openat2(5, "x", {flags=O_RDONLY, mode=0, resolve=RESOLVE_BENEATH}, 100) = -1 E2BIG )"
            "(Argument list too long)");
  std::uint32_t scheduling[14] = {20, 0, 0, 0, 5, 99};
  EXPECT_EQ(Call("sched_setattr", {0, 1, 0}, 0)
                .with(1, CaptureKind::structure_in, raw(scheduling))
                .text(),
            "sched_setattr(0, {size=20, sched_policy=SCHED_OTHER, sched_flags=0, sched_nice=5}, "
            "0) = 0");
}

TEST(EventText, MessagesOfQueuesHaveATypeAndAText) {
  EXPECT_EQ(Call("msgsnd", {1, 2, 3, 0}, 0)
                .with(1, CaptureKind::buffer_in, std::string("\x05\0\0\0\0\0\0\0abc", 11))
                .text(),
            R"(msgsnd(1, {5, "abc"}, 3, 0) = 0)");
  EXPECT_EQ(Call("msgrcv", {1, 2, 90, 0, 0}, 80, Abi::i386)
                .with(1, CaptureKind::buffer_out, "\xff\xff\xff\xff" + std::string(60, 'x'), 84)
                .text(),
            "msgrcv(1, {-1, \"" + std::string(60, 'x') + "\"...}, 90, 0, 0) [i386] = 80");
  EXPECT_EQ(Call("msgsnd", {1, 2, 3, 0}, 0).with(1, CaptureKind::buffer_in, "abc").text(),
            R"(msgsnd(1, "abc", 3, 0) = 0)");
}

TEST(EventText, EntriesOfDirectories) {
  auto entry = [](std::uint64_t inode, std::uint16_t length, char type, std::string name) {
    std::string bytes(length, '\0');
    std::memcpy(bytes.data(), &inode, sizeof(inode));
    std::memcpy(bytes.data() + 16, &length, sizeof(length));
    bytes[18] = type;
    return bytes.replace(19, name.size(), name);
  };
  const std::string entries = entry(7, 24, 4, ".") + entry(8, 32, 8, "a\nb");
  auto shown = [](const std::string& bytes, std::size_t full) {
    return Call("getdents64", {3, 1, 32768}, static_cast<std::int64_t>(full))
        .with(1, CaptureKind::buffer_out, bytes, full)
        .text();
  };
  EXPECT_EQ(shown(entries, 56),
            R"(getdents64(3, [{d_ino=7, d_type=DT_DIR, d_name="."}, {d_ino=8, d_type=DT_REG, )"
            R"(d_name="a\nb"}], 32768) = 56)");
  // A name that was cut off says so, and lengths that lie lead nowhere.
  EXPECT_EQ(shown(entries.substr(0, 24 + 21), 56),
            R"(getdents64(3, [{d_ino=7, d_type=DT_DIR, d_name="."}, {d_ino=8, d_type=DT_REG, )"
            R"(d_name="a\n"...}, ...], 32768) = 56)");
  EXPECT_EQ(shown(entry(7, 24, 4, ".").replace(16, 2, "\0\0", 2), 24),
            "getdents64(3, [...], 32768) = 24");
  EXPECT_EQ(shown(entry(7, 24, 4, ".").replace(16, 2, "\xff\xff"), 24),
            R"(getdents64(3, [{d_ino=7, d_type=DT_DIR, d_name="."}], 32768) = 24)");
  EXPECT_EQ(shown("", 0), "getdents64(3, [], 32768) = 0");
}

TEST(EventText, TypesOfFilesAndTimesThatAreWords) {
  EXPECT_EQ(Call("mknodat", {~0U - 99, 1, S_IFIFO | 0600, 0}, 0).path(1, "f").text(),
            R"(mknodat(AT_FDCWD, "f", S_IFIFO|0600, makedev(0x0, 0x0)) = 0)");
  EXPECT_EQ(Call("mkdir", {1, 0755}, 0).path(0, "d").text(), R"(mkdir("d", 0755) = 0)");
  std::uint64_t times[4] = {0, UTIME_NOW, 3, UTIME_OMIT};
  EXPECT_EQ(
      Call("utimensat", {3, 0, 1, 0}, 0).with(2, CaptureKind::structure_in, raw(times)).text(),
      "utimensat(3, NULL, [{tv_sec=0, tv_nsec=UTIME_NOW}, {tv_sec=3, tv_nsec=UTIME_OMIT}], "
      "0) = 0");
}

TEST(EventText, ArraysOfStructures) {
  struct {
    int fd;
    short events, revents;
  } polled[2] = {{3, 1, 1}, {4, 4, 0}};
  EXPECT_EQ(Call("poll", {1, 2, 100}, 1).with(0, CaptureKind::structure_out, raw(polled)).text(),
            "poll([{fd=3, events=POLLIN, revents=POLLIN}, {fd=4, events=POLLOUT, revents=0}], 2, "
            "100) = 1");
  EXPECT_EQ(
      Call("poll", {1, 9, 0}, -EINTR).with(0, CaptureKind::structure_in, raw(polled), 72).text(),
      "poll([{fd=3, events=POLLIN, revents=POLLIN}, {fd=4, events=POLLOUT, revents=0}, ...], 9, "
      "0) = -1 EINTR (Interrupted system call)");
  std::string ready(12, '\0');
  ready[0] = 1;
  ready[4] = 7;
  EXPECT_EQ(Call("epoll_wait", {5, 1, 8, ~0U}, 1).with(1, CaptureKind::structure_out, ready).text(),
            "epoll_wait(5, [{events=EPOLLIN, data={u32=7, u64=7}}], 8, -1) = 1");
  std::uint32_t groups[2] = {0, 27};
  EXPECT_EQ(Call("getgroups", {2, 1}, 2).with(1, CaptureKind::structure_out, raw(groups)).text(),
            "getgroups(2, [0, 27]) = 2");
  std::string set(16, '\0');
  set[0] = 0x28;
  EXPECT_EQ(Call("select", {6, 1, 0, 0, 0}, 1).with(1, CaptureKind::structure_in, set).text(),
            "select(6, [3 5], NULL, NULL, NULL) = 1");
}

TEST(EventText, NestedStructuresAndChosenOnes) {
  std::uint64_t timer[4] = {0, 0, 2, 5};
  EXPECT_EQ(Call("setitimer", {0, 1, 0}, 0).with(1, CaptureKind::structure_in, raw(timer)).text(),
            "setitimer(ITIMER_REAL, {it_interval={tv_sec=0, tv_usec=0}, it_value={tv_sec=2, "
            "tv_usec=5}}, NULL) = 0");
  std::uint32_t capabilities[6] = {1, 3, 0, 0x80, 0, 0};
  EXPECT_EQ(Call("capset", {0, 1}, 0).with(1, CaptureKind::structure_in, raw(capabilities)).text(),
            "capset(NULL, {effective=CAP_CHOWN|CAP_BPF, permitted=CAP_CHOWN|CAP_DAC_OVERRIDE, "
            "inheritable=0}) = 0");
  std::uint32_t peer[3] = {77, 0, 5};
  EXPECT_EQ(
      Call("getsockopt", {3, 1, 17, 1, 2}, 0).with(3, CaptureKind::buffer_out, raw(peer)).text(),
      "getsockopt(3, SOL_SOCKET, SO_PEERCRED, {pid=77, uid=0, gid=5}, 0x2) = 0");
  std::uint32_t child[32] = {17, 0, 1, 0, 42, 1000, 3};
  EXPECT_EQ(structure_text("siginfo", raw(child), 128),
            "{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=42, si_uid=1000, si_status=3, "
            "si_utime=0, si_stime=0}");
  // A control message as the kernel lays it out, and one whose length lies.
  std::string control(24, '\0');
  control[0] = 20;
  control[8] = 1;
  control[12] = 1;
  control[16] = 9;
  auto shown = [](std::int32_t fd) { return std::to_string(fd) + "</srv/a>"; };
  EXPECT_EQ(control_text(control, false, shown),
            "[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[9</srv/a>]}]");
  control[1] = 1;
  EXPECT_EQ(control_text(control, false, shown), "[...]");
}

TEST(EventText, LayoutsAreSound) {
  EXPECT_TRUE(layout_faults().empty());
  EXPECT_EQ(find_layout("no such"), nullptr);
}

TEST(EventText, Network) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(80);
  four.sin_addr.s_addr = htonl(0x01020304);
  EXPECT_EQ(
      Call("connect", {3, 1, 16}, -EINPROGRESS).with(1, CaptureKind::sockaddr_in, raw(four)).text(),
      "connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"1.2.3.4\")}, 16) "
      "= -1 EINPROGRESS (Operation now in progress)");
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(443);
  six.sin6_addr = in6addr_loopback;
  EXPECT_EQ(sockaddr_text(raw(six)),
            R"({sa_family=AF_INET6, sin6_port=htons(443), sin6_addr="::1", sin6_scope_id=0})");
  EXPECT_EQ(sockaddr_short_text(raw(six)), "[::1]:443");
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  std::strcpy(local.sun_path, "/run/x");
  EXPECT_EQ(sockaddr_text(raw(local)), R"({sa_family=AF_UNIX, sun_path="/run/x"})");
  EXPECT_EQ(sockaddr_text(std::string("\1\0\0name", 7)),
            R"({sa_family=AF_UNIX, sun_path=@"name"})");
  // Bytes of a peer's name are escaped once, by the call that tells it and by those that follow.
  Call made("socket", {AF_UNIX, SOCK_STREAM, 0}, 3);
  Call connected("connect", {3, 1, 16}, 0);
  connected.with(0, CaptureKind::socket_peer, std::string("\1\0/a\\b\x1b<c>", 10), 0,
                 Provenance::kernel);
  Call written("write", {3, 1, 0}, 0);
  PathResolver resolver;
  static_cast<void>(resolver.paths_of(made.built()));
  static_cast<void>(resolver.paths_of(connected.built()));
  for (const Event& event : {connected.built(), written.built()}) {
    const std::string text = format_event(event, &resolver);
    EXPECT_NE(text.find(R"((3<unix:/a\\b\x1b\x3cc\x3e>, )"), std::string::npos) << text;
  }
  EXPECT_EQ(sockaddr_text(std::string("\x10\0\0\0\5\0\0\0\1\0\0\0", 12)),
            "{sa_family=AF_NETLINK, nl_pid=5, nl_groups=00000001}");
  EXPECT_EQ(sockaddr_text("x"), "{1 bytes: 78}");
  EXPECT_EQ(sockaddr_text(std::string("\x63\0z", 3)), "{sa_family=0x63, sa_data={1 bytes: 7a}}");
  EXPECT_EQ(Call("socket", {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0}, 3).text(),
            "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3");
  EXPECT_EQ(Call("sendto", {3, 1, 2, 0x4000, 0, 0}, 2)
                .with(0, CaptureKind::socket_peer, raw(four))
                .with(1, CaptureKind::buffer_in, "hi")
                .text(),
            R"(sendto(3<1.2.3.4:80>, "hi", 2, MSG_NOSIGNAL, NULL, 0) = 2)");
  EXPECT_EQ(Call("sendmsg", {3, 1, 0}, 2)
                .with(1, CaptureKind::sockaddr_in, raw(four))
                .with(1, CaptureKind::iovec_in, "hi")
                .text(),
            "sendmsg(3, {msg_name={sa_family=AF_INET, sin_port=htons(80), "
            "sin_addr=inet_addr(\"1.2.3.4\")}, msg_iov=[\"hi\"]}, 0) = 2");
  EXPECT_EQ(Call("setsockopt", {3, SOL_SOCKET, SO_REUSEADDR, 1, 4}, 0)
                .with(3, CaptureKind::buffer_in, std::string("\1\0\0\0", 4))
                .text(),
            R"(setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0)");
}

TEST(EventText, ProcessesAndMemory) {
  EXPECT_EQ(Call("execve", {1, 2, 3}, 0)
                .path(0, "/bin/ls")
                .with(1, CaptureKind::argv, std::string("ls\0-l\0", 6))
                .with(2, CaptureKind::envp, std::string("A=1\0B=2\0", 8))
                .text(),
            R"(execve("/bin/ls", ["ls", "-l"], 0x3 /* 2 vars */) = 0)");
  EXPECT_EQ(Call("mmap", {0, 8192, 3, 0x22, ~0U, 0}, 0x7f0000000000).text(),
            "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = "
            "0x7f0000000000");
  EXPECT_EQ(Call("clone", {0x1200011, 0, 0, 0x7f10, 0}, 78).text(),
            "clone(SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID, NULL, NULL, 0x7f10, 0) = 78");
  EXPECT_EQ(Call("kill", {55, 9}, -EPERM).text(),
            "kill(55, SIGKILL) = -1 EPERM (Operation not permitted)");
  EXPECT_EQ(Call("futex", {0x1000, 0x80, 2, 0, 0, 0}, -512).text(),
            "futex(0x1000, FUTEX_WAIT_PRIVATE, 2, NULL) = ? ERESTARTSYS (To be restarted if "
            "SA_RESTART is set)");
  EXPECT_EQ(Call("ptrace", {16, 1, 0, 0}, 0).text(), "ptrace(PTRACE_ATTACH, 1, NULL, NULL) = 0");
  Call exit_group("exit_group", {3}, 0);
  exit_group.event().has_exit = false;
  EXPECT_EQ(exit_group.text(), "exit_group(3) = ?");
}

TEST(EventText, VerdictsAndUnknownCalls) {
  Call refused("unlink", {1}, -EPERM);
  refused.path(0, "/etc/motd").event().verdict = Verdict::refused;
  EXPECT_EQ(refused.text(),
            R"(unlink("/etc/motd") = -1 EPERM (Operation not permitted) [refused by filter])");
  Call killed("ptrace", {0, 0, 0, 0}, 101);
  killed.event().verdict = Verdict::killed;
  killed.event().has_exit = false;
  EXPECT_EQ(killed.text(), "ptrace(PTRACE_TRACEME, 0, NULL, NULL) = ? [killed at this call]");
  Event unknown;
  unknown.number = 9999;
  unknown.args = {1, 2, 3, 4, 5, 6};
  unknown.result = -ENOSYS;
  EXPECT_EQ(format_event(unknown),
            "syscall_0x270f(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)");
}

TEST(EventText, OtherKinds) {
  Event event;
  event.kind = EventKind::process_start;
  event.args[0] = 17;
  event.result = 1234;
  EXPECT_EQ(format_event(event), "+++ started task 1234 {flags=SIGCHLD} +++");
  event = {};
  event.kind = EventKind::process_exit;
  event.result = 9;
  EXPECT_EQ(format_event(event), "+++ killed by SIGKILL +++");
  event.result = 2 << 8;
  EXPECT_EQ(format_event(event), "+++ exited with 2 +++");
  event.kind = EventKind::signal;
  event.args = {17, 0, 0, 0, 0, 0};
  EXPECT_EQ(format_event(event), "--- SIGCHLD {si_code=SI_USER} ---");
  event.args = {17, 1, 0, 0, 0, 0};
  EXPECT_EQ(format_event(event), "--- SIGCHLD {si_code=CLD_EXITED} ---");
  event.args = {11, 2, 0, 0, 0, 0};
  EXPECT_EQ(format_event(event), "--- SIGSEGV {si_code=SEGV_ACCERR} ---");
  event.args = {10, 2, 0, 0, 0, 0};
  EXPECT_EQ(format_event(event), "--- SIGUSR1 {si_code=2} ---");
  event.kind = EventKind::recorder_wait;
  event.duration_ns = 1500000;
  EXPECT_EQ(format_event(event), "=== held back 0.001500 s by the recorder ===");
  Capture name{0, CaptureKind::text, Provenance::kernel, false, 4, "bash"};
  event.kind = EventKind::tool_call_start;
  event.active_call = 3;
  event.captures = {&name, 1};
  EXPECT_EQ(format_event(event), R"(=== tool call 3 starts "bash" ===)");
  std::string image = identity("/usr/bin/id");
  Capture exec{6, CaptureKind::file_identity, Provenance::kernel, false, 0, image};
  event.kind = EventKind::process_exec;
  event.captures = {&exec, 1};
  EXPECT_EQ(format_event(event), R"(+++ exec "/usr/bin/id" +++)");
  event.kind = EventKind::path_disagreement;
  event.number = 257;
  event.args = {1};
  const Capture raced[] = {{1, CaptureKind::path, Provenance::enter, false, 9, "/etc/good"}, exec};
  event.captures = raced;
  EXPECT_EQ(format_event(event),
            R"(!!! openat was asked for "/etc/good" and used "/usr/bin/id" !!!)");
}

// Whatever stands in strings, the output is one printable line.
TEST(EventText, HostileStringsCannotDriveTheTerminal) {
  std::string hostile = "\x1b[2J\r\n\x9b\xe2\x80\xae\x07/../\xff";
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path, hostile.data(), hostile.size());
  std::string lines[] = {
      Call("openat", {cwd, 1, 0, 0}, 3)
          .path(1, hostile)
          .with(6, CaptureKind::file_identity, identity(hostile))
          .text(),
      Call("execve", {1, 2, 3}, 0).path(0, hostile).with(1, CaptureKind::argv, hostile).text(),
      Call("connect", {3, 1, 110}, 0).with(1, CaptureKind::sockaddr_in, raw(local)).text(),
      Call("close", {3}, 0).with(0, CaptureKind::socket_peer, raw(local)).text(),
      Call("write", {3, 1, 9}, 9).with(1, CaptureKind::buffer_in, hostile).text(),
      Call("uname", {1}, 0)
          .with(0, CaptureKind::structure_out, hostile + std::string(390, '\x1b'))
          .text(),
  };
  for (const std::string& line : lines)
    for (char c : line) {
      EXPECT_GE(static_cast<unsigned char>(c), 0x20U) << line;
      EXPECT_NE(static_cast<unsigned char>(c), 0x9BU) << line;
    }
  for (const std::string& line : lines) EXPECT_EQ(line.find("\xe2\x80\xae"), std::string::npos);
  nlohmann::json json =
      event_to_json(Call("openat", {cwd, 1, 0, 0}, 3).path(1, hostile).built(), {});
  EXPECT_NO_THROW((void)json.dump());
}

TEST(EventJson, HasTheFixedFields) {
  Call call("openat", {cwd, 0x1000, O_RDONLY, 0}, -ENOENT);
  Event& event = call.path(1, "motd").event();
  event.sequence = 5;
  event.time_ns = 100;
  event.pid = event.tid = 40;
  event.inside_pid = 2;
  event.origin_call = 7;
  PathResolver resolver;
  std::vector<ResolvedPath> paths = resolver.paths_of(call.built());
  nlohmann::json json = event_to_json(call.built(), paths);
  for (const char* key : {"seq", "time_ns", "pid", "tid", "syscall", "abi", "args", "result",
                          "errno", "duration_ns", "verdict", "tool_call"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["syscall"], "openat");
  EXPECT_EQ(json["errno"], "ENOENT");
  EXPECT_EQ(json["tool_call"], 7);
  EXPECT_EQ(json["args"][1]["value"], "motd");
  EXPECT_EQ(json["args"][0]["value"], -100);
  EXPECT_EQ(json["args"][2]["text"], "O_RDONLY");
  EXPECT_EQ(json["paths"][0]["absolute"], false);
  EXPECT_EQ(json["inside_tid"], nullptr);
}

}  // namespace
}  // namespace gyges::recorder
