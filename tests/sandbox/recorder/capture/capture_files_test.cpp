// What both backends record of files, directories and sockets.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "capture_fixture.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

class FileCapture : public CaptureTest {};
INSTANTIATE_TEST_SUITE_P(Backends, FileCapture, both_backends, backend_of_test);

TEST_P(FileCapture, DescriptorsFoundByHandleAndTakenFromProcesses) {
  const Recording result = run([] {
    struct {
      file_handle head{MAX_HANDLE_SZ, 0, {}};
      char bytes[MAX_HANDLE_SZ];
    } handle;
    int mount = 0;
    if (name_to_handle_at(AT_FDCWD, "/etc/passwd", &handle.head, &mount, 0) != 0) return 1;
    const int directory = open("/etc", O_RDONLY | O_DIRECTORY);
    if (geteuid() == 0 && open_by_handle_at(directory, &handle.head, O_RDONLY) < 0) return 2;
    const int file = open("/etc/passwd", O_RDONLY);
    const auto self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
    return syscall(SYS_pidfd_getfd, self, file, 0) >= 0 ? 0 : 3;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  if (geteuid() == 0) {
    ASSERT_EQ(result.calls("open_by_handle_at").size(), 1U);
    EXPECT_EQ(result.calls("open_by_handle_at")[0]->named_file(), "/etc/passwd");
  }
  ASSERT_EQ(result.calls("pidfd_getfd").size(), 1U);
  EXPECT_EQ(result.calls("pidfd_getfd")[0]->named_file(), "/etc/passwd");
}

// Whoever goes deep down does not hide there.
TEST_P(FileCapture, FilesInMemoryHaveTheNameThatTheKernelGives) {
  const Recording result = run([] {
    // One that only looks like it.
    const int other = open("/tmp/memfd:x", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool good = unlink("/tmp/memfd:x") == 0 && ftruncate(other, 3) == 0;
    const int file = memfd_create("a b", MFD_CLOEXEC);
    return good && ftruncate(file, 5) == 0 ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto calls = result.calls("ftruncate");
  ASSERT_EQ(calls.size(), 2U);
  const auto name = [](const KeptEvent& call) {
    const std::string identity(call.capture(CaptureKind::file_identity));
    return identity.size() < sizeof(FileIdentity) ? "" : identity.substr(sizeof(FileIdentity));
  };
  EXPECT_THAT(name(*calls[0]), ::testing::StartsWith("/tmp/memfd:x"));
  EXPECT_EQ(name(*calls[1]), "memfd:a b");
}

TEST_P(FileCapture, DeepDirectoriesHaveTheirNames) {
  const std::string top = "/tmp/gyges_deep_" + std::to_string(getpid());
  const Recording result = run([&] {
    if (mkdir(top.c_str(), 0700) != 0 || chdir(top.c_str()) != 0) return 1;
    for (int i = 0; i < 300; ++i)
      if (mkdir("d", 0700) != 0 || chdir("d") != 0) return 2;
    if (open("inner", O_CREAT | O_WRONLY, 0600) < 0 || unlink("inner") != 0) return 3;
    return 0;
  });
  std::filesystem::remove_all(top);
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  std::string deep = top;
  for (int i = 0; i < 300; ++i) deep += "/d";
  EXPECT_EQ(result.calls("openat").back()->named_file(), deep + "/inner");
  EXPECT_EQ(result.calls("unlink").back()->capture(CaptureKind::absolute_path), deep + "/inner");
}

TEST_P(FileCapture, RelativePathsGetTheirDirectory) {
  const Recording result = run([] {
    if (chdir("/tmp") != 0) return 1;
    const std::string name = "gyges_capture_" + std::to_string(getpid());
    if (mkdir(name.c_str(), 0700) != 0) return 2;
    const int directory = open(name.c_str(), O_RDONLY | O_DIRECTORY);
    const int file = openat(directory, "inner", O_CREAT | O_WRONLY, 0600);
    if (write(file, "x", 1) != 1) return 3;
    if (unlinkat(directory, "inner", 0) != 0) return 4;
    if (rmdir(name.c_str()) != 0) return 5;
    if (open("gyges_not_there", O_RDONLY) >= 0) return 6;
    return 0;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const std::string name = "gyges_capture_" + std::to_string(result.pid);
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  EXPECT_EQ(result.calls("mkdir")[0]->capture(CaptureKind::path), name);
  EXPECT_EQ(result.calls("mkdir")[0]->capture(CaptureKind::absolute_path), "/tmp/" + name);
  EXPECT_EQ(result.calls("chdir")[0]->capture(CaptureKind::absolute_path), "/tmp");
  const KeptEvent& unlink = *result.calls("unlinkat")[0];
  EXPECT_EQ(unlink.capture(CaptureKind::path, 1), "inner");
  EXPECT_EQ(unlink.capture(CaptureKind::absolute_path, 1), "/tmp/" + name + "/inner");
  bool opened = false;
  bool failed = false;
  for (const KeptEvent* call : result.calls("openat")) {
    if (call->capture(CaptureKind::path) == "inner") {
      opened = true;
      EXPECT_EQ(call->named_file(), "/tmp/" + name + "/inner");
      const std::string identity = call->capture(CaptureKind::file_identity);
      ASSERT_GE(identity.size(), sizeof(FileIdentity));
      FileIdentity about;
      std::memcpy(&about, identity.data(), sizeof(about));
      EXPECT_EQ(about.mode, 0100600U);
      EXPECT_NE(about.inode, 0U);
    }
    if (call->capture(CaptureKind::path) == "gyges_not_there") {
      failed = true;
      EXPECT_EQ(call->event.result, -ENOENT);
      EXPECT_EQ(call->capture(CaptureKind::absolute_path, 1), "/tmp/gyges_not_there");
    }
  }
  EXPECT_TRUE(opened);
  EXPECT_TRUE(failed);
}

// Paths end at the root of the process, over mounts.
TEST_P(FileCapture, PathsAreThoseInsideTheRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  const Recording result = run([] {
    char root[] = "/tmp/gyges_root_XXXXXX";
    if (mkdtemp(root) == nullptr || unshare(CLONE_NEWNS) != 0) return 1;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 2;
    if (mount("none", root, "tmpfs", 0, nullptr) != 0) return 3;
    if (chroot(root) != 0 || chdir("/") != 0 || mkdir("/sub", 0700) != 0) return 4;
    if (mount("none", "/sub", "tmpfs", 0, nullptr) != 0) return 5;
    if (mkdir("/sub/deeper", 0700) != 0 || chdir("/sub/deeper") != 0) return 6;
    const int file = open("../../sub/deeper/./new", O_CREAT | O_RDWR, 0600);
    return file >= 0 && unlink("../deeper/new") == 0 ? 0 : 7;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("openat").size(), 1U);
  EXPECT_EQ(result.calls("openat")[0]->named_file(), "/sub/deeper/new");
  EXPECT_EQ(result.calls("unlink")[0]->capture(CaptureKind::absolute_path), "/sub/deeper/new");
  EXPECT_EQ(result.calls("chdir").back()->capture(CaptureKind::absolute_path), "/sub/deeper");
}

// Relative paths have a meaning from the first call of an image on.
TEST_P(FileCapture, ExecutionTellsTheDirectory) {
  const Recording result = run([] {
    if (chdir("/usr/share") != 0) return 1;
    return shell("test -e doc")();
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto execs = result.of_kind(EventKind::process_exec);
  ASSERT_EQ(execs.size(), 1U);
  EXPECT_EQ(execs[0]->capture(CaptureKind::absolute_path, 0), "/usr/share");
  ASSERT_EQ(result.calls("execve").size(), 1U);
  EXPECT_EQ(result.calls("execve")[0]->capture(CaptureKind::absolute_path), "-");
}

// What the kernel left is not what the program passed.
TEST_P(FileCapture, FieldsSayWhereTheyWereRead) {
  const Recording result = run([] {
    char path[] = "/etc/passwd";  // on the stack, whose page is there
    const int file = open(path, O_RDONLY);
    char bytes[16];
    return read(file, bytes, sizeof(bytes)) == sizeof(bytes) ? 0 : 1;
  });
  const auto reads = result.calls("read");
  ASSERT_FALSE(reads.empty());
  ASSERT_FALSE(reads.back()->captures.empty());
  EXPECT_EQ(reads.back()->captures[0].provenance, Provenance::exit);
  EXPECT_EQ(result.calls("openat").back()->captures[0].provenance, Provenance::enter);
  EXPECT_EQ(result.calls("openat").back()->captures[1].provenance, Provenance::kernel);
}

template <class Address>
std::string address_bytes(const Address& address, std::size_t length = sizeof(Address)) {
  return std::string(reinterpret_cast<const char*>(&address), length);
}

// The peer is the kernel's: the program passes no address to accept, and may change the one that it
// passed to connect.
TEST_P(FileCapture, PeersOfSockets) {
  sockaddr_in there{};
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  there.sin_family = AF_INET;
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&there), sizeof(there)), 0);
  ASSERT_EQ(listen(server, 1), 0);
  socklen_t length = sizeof(there);
  ASSERT_EQ(getsockname(server, reinterpret_cast<sockaddr*>(&there), &length), 0);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  std::snprintf(local.sun_path, sizeof(local.sun_path), "/tmp/gyges_peer_%d", getpid());
  const int local_server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(local_server, reinterpret_cast<sockaddr*>(&local), sizeof(local)), 0);
  ASSERT_EQ(listen(local_server, 1), 0);
  const Recording result = run([&] {
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, reinterpret_cast<sockaddr*>(&there), sizeof(there)) != 0) return 1;
    if (accept4(server, nullptr, nullptr, 0) < 0) return 2;
    const int other = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(other, reinterpret_cast<sockaddr*>(&local), sizeof(local)) != 0) return 3;
    return accept(local_server, nullptr, nullptr) < 0 ? 4 : 0;
  });
  unlink(local.sun_path);
  close(server);
  close(local_server);
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto connects = result.calls("connect");
  ASSERT_EQ(connects.size(), 2U);
  EXPECT_EQ(connects[0]->capture(CaptureKind::socket_peer, 0), address_bytes(there));
  const std::size_t named = offsetof(sockaddr_un, sun_path) + std::strlen(local.sun_path) + 1;
  EXPECT_EQ(connects[1]->capture(CaptureKind::socket_peer, 0), address_bytes(local, named));
  ASSERT_EQ(result.calls("accept4").size(), 1U);
  const std::string peer = result.calls("accept4")[0]->capture(CaptureKind::socket_peer, 6);
  ASSERT_EQ(peer.size(), sizeof(sockaddr_in));
  EXPECT_EQ(peer.substr(4, 4), address_bytes(there.sin_addr));
  ASSERT_EQ(result.calls("accept").size(), 1U);
  EXPECT_EQ(result.calls("accept")[0]->capture(CaptureKind::socket_peer), "-");  // it has no name
}

TEST_P(FileCapture, OpenThatReturnsDescriptorZero) {
  const Recording result = run([] {
    close(0);
    return open("/etc/passwd", O_RDONLY) == 0 ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("openat").size(), 1U);
  EXPECT_EQ(result.calls("openat")[0]->event.result, 0);
  EXPECT_EQ(result.calls("openat")[0]->named_file(), "/etc/passwd");
}

// A page that was never touched: the refused call does not touch it either.
TEST_P(FileCapture, ArgumentInAnAbsentPage) {
  const Recording result = run([] {
    const int file = open("/etc/passwd", O_RDONLY);
    void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    return open(static_cast<const char*>(page), O_RDONLY) == -1 ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto calls = result.calls("openat");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[1]->capture(CaptureKind::path).substr(0, 5), "root:");
  if (bpf()) {
    EXPECT_EQ(calls[1]->captures[0].provenance, Provenance::exit_retry);
  }
}

// Name, result and what was captured at entry of every call, without what differs from run to run.
std::vector<std::string> summary(const Recording& recording) {
  std::vector<std::string> lines;
  for (const KeptEvent& kept : recording.events) {
    if (kept.event.kind != EventKind::syscall) continue;
    const std::string name = syscall_name(kept.event.abi, kept.event.number);
    if (lines.empty() && name != "openat") continue;  // on the way to the start gate
    std::string line = name;
    const bool moves = name == "brk" || name == "mmap" || name.find("tid") != std::string::npos ||
                       name.find("pid") != std::string::npos;
    if (!moves) line += " " + std::to_string(kept.event.result);
    for (const KeptCapture& c : kept.captures) {
      line += " " + std::to_string(c.argument) + ":" + std::to_string(static_cast<int>(c.kind)) +
              ":" + std::to_string(c.full_length);
      const bool text = c.kind == CaptureKind::path || c.kind == CaptureKind::argv ||
                        c.kind == CaptureKind::absolute_path || c.kind == CaptureKind::iovec_in;
      if (text) line += "=" + c.bytes;
      if (c.kind == CaptureKind::file_identity) line += "=" + c.bytes;
    }
    lines.push_back(line);
  }
  return lines;
}

TEST(CaptureParity, BothBackendsRecordTheSame) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  auto bpf = open_bpf_backend({});
  auto ptrace = open_ptrace_backend({});
  ASSERT_TRUE(bpf && ptrace);
  const auto body = program({"/bin/cat", "/etc/passwd", "/gyges_is_not_here"});
  const auto quiet = [&body] {
    const int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    return body();
  };
  EXPECT_EQ(summary(record(**bpf, quiet)), summary(record(**ptrace, quiet)));
}

// Links of files and directories, "..", other names of one file and files without a name are no
// disagreement; the control for it is the raced path of the attack tests.
TEST_P(FileCapture, LinksAreNoDisagreement) {
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("gyges_links_" + std::to_string(getpid()));
  std::filesystem::create_directories(directory / "real/deep");
  const std::string place = directory.string();
  const Recording result = run([place] {
    const auto opens = [](const std::string& path, int flags) {
      const int file = open(path.c_str(), flags | O_CLOEXEC, 0600);
      if (file >= 0) close(file);
      return file >= 0;
    };
    const std::string file = place + "/real/file";
    if (!opens(file, O_CREAT | O_RDWR)) return 1;
    if (link(file.c_str(), (place + "/real/twin").c_str()) != 0) return 2;
    if (symlink("real", (place + "/alias").c_str()) != 0) return 3;
    if (symlink("real/file", (place + "/name").c_str()) != 0) return 4;
    for (const char* path : {"/alias/file", "/name", "/alias/twin", "/real/deep/../file",
                             "/alias/deep/../file", "//alias/./file", "/alias"})
      if (!opens(place + path, O_RDONLY)) return 5;
    if (!opens(place + "/name", O_PATH | O_NOFOLLOW)) return 6;
    opens(place + "/alias", O_TMPFILE | O_RDWR);  // not every filesystem can
    if (chdir((place + "/real/deep").c_str()) != 0) return 7;
    for (const char* path : {"../file", "../../name", "/proc/self/status", "/dev/null"})
      if (!opens(path, O_RDONLY)) return 8;
    return 0;
  });
  std::filesystem::remove_all(directory);
  EXPECT_EQ(result.status, 0);
  EXPECT_GE(result.calls("openat").size(), 13U);
  for (const KeptEvent* event : result.of_kind(EventKind::path_disagreement))
    ADD_FAILURE() << event->capture(CaptureKind::path) << " is not "
                  << event->capture(CaptureKind::file_identity).substr(sizeof(FileIdentity));
}

// The kernel tells no object of these calls: where a name leads is looked up after them.
TEST_P(FileCapture, ChangesThroughLinksHaveTheirPlaceToo) {
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("gyges_places_" + std::to_string(getpid()));
  std::filesystem::create_directories(directory / "real/deep");
  const std::string place = directory.string();
  const Recording result = run([place] {
    const auto make = [](const std::string& path) {
      const int file = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
      if (file >= 0) close(file);
      return file >= 0;
    };
    for (const char* file : {"/real/held", "/real/deep/kept", "/real/deep/old", "/real/plain"})
      if (!make(place + file)) return 1;
    if (symlink("real/deep", (place + "/alias").c_str()) != 0) return 2;
    if (symlink("real/plain", (place + "/name").c_str()) != 0) return 3;
    if (unlink((place + "/alias/../held").c_str()) != 0) return 4;
    if (rename((place + "/alias/old").c_str(), (place + "/real/new").c_str()) != 0) return 5;
    if (chmod((place + "/name").c_str(), 0640) != 0) return 6;
    usleep(300'000);  // the link's file is looked up when the recorder comes to it
    if (chdir(place.c_str()) != 0) return 7;
    if (unlink("alias/kept") != 0) return 8;
    if (unlink("real/plain") != 0) return 9;
    if (unlink("name") != 0) return 10;
    return unlink("alias/nothing") == 0 ? 11 : 0;
  });
  std::filesystem::remove_all(directory);
  ASSERT_EQ(result.status, 0);
  std::vector<std::string> places;
  for (const KeptEvent* event : result.of_kind(EventKind::syscall))
    for (const KeptCapture& capture : event->captures)
      if (capture.kind == CaptureKind::absolute_path && capture.provenance == Provenance::exit)
        places.emplace_back(capture.bytes);
  const std::vector<std::string> wanted{place + "/real/held", place + "/real/deep/old",
                                        place + "/real/plain", place + "/real/deep/kept"};
  EXPECT_EQ(places, wanted);
}

}  // namespace
}  // namespace gyges::recorder
