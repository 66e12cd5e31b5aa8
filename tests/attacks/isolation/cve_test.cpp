// Known holes of other sandboxes, by name: each is the shape of the published attack, tried against
// Gyges. Shapes that the attack program tries (TIOCSTI, /proc/1/exe, leaked descriptors) stand in
// its tables; tests/attacks/README.md says where each is.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class Cve : public SandboxTest {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-cve");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    work_ = fs::canonical(directory_->path()) / "work";
    outside_ = fs::canonical(directory_->path()) / "outside";
    fs::create_directory(work_);
    fs::create_directory(outside_);
    ::chmod(directory_->path().c_str(), 0755);
    ASSERT_TRUE(write_file_atomically(outside_ / "secret", "of the host\n"));
  }

  // The directory that an earlier agent prepared, as the working directory of this one.
  [[nodiscard]] SandboxSpec in_prepared_directory(Mount::Kind kind = Mount::Kind::overlay) const {
    SandboxSpec spec{test_policy(), {}, nullptr};
    Mount mount;
    mount.kind = kind;
    mount.target = mount.source = work_.string();
    spec.policy.filesystem.mounts.push_back(mount);
    return spec;
  }

  static Mount read_only(const fs::path& source, const fs::path& target) {
    Mount mount;
    mount.source = source.string();
    mount.target = target.string();
    return mount;
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  fs::path work_;
  fs::path outside_;
};

// runc CVE-2025-31133 and CVE-2025-52565: the place to mask is reached through a link that the
// attacker made, so that the mask lies elsewhere. F1.
TEST_F(Cve, RuncMaskedPathBehindALink) {
  fs::create_directory(work_ / "real");
  ASSERT_TRUE(write_file_atomically(work_ / "real/key", "secret\n"));
  fs::create_directory_symlink(work_ / "real", work_ / "absolute");
  fs::create_directory_symlink("real", work_ / "relative");
  fs::create_symlink("real/key", work_ / "file");
  for (const char* name : {"absolute/key", "relative/key", "file"}) {
    SandboxSpec spec = in_prepared_directory();
    spec.policy.filesystem.masked.push_back((work_ / name).string());
    start(spec);
    Ran ran = run("cat " + (work_ / name).string() + " " + (work_ / "real/key").string());
    EXPECT_THAT(ran.output, Not(HasSubstr("secret"))) << name;
    stop();
    // The control: without the mask it is read.
    start(in_prepared_directory());
    EXPECT_THAT(run("cat " + (work_ / name).string()).output, HasSubstr("secret")) << name;
    stop();
  }
  EXPECT_EQ(*read_file(work_ / "real/key"), "secret\n");
}

// runc CVE-2019-19921, CVE-2021-30465, CVE-2023-27561 and CVE-2023-28642; crun CVE-2026-47766: the
// place to mount on is a link to somewhere else, once in the working directory itself and once on
// the way. F1.
TEST_F(Cve, RuncMountOnALink) {
  fs::create_directory_symlink("/etc", work_ / "out");
  fs::create_directory_symlink("/proc", work_ / "proc");
  for (Mount::Kind kind : {Mount::Kind::overlay, Mount::Kind::read_only}) {
    for (const char* target : {"out", "out/ssl", "proc", "proc/sys"}) {
      SandboxSpec spec = in_prepared_directory(kind);
      spec.policy.filesystem.mounts.push_back(read_only(outside_, work_ / target));
      auto sandbox = Sandbox::start(spec);
      if (!sandbox) continue;  // refused is fine, elsewhere is not
      sandbox_ = std::move(*sandbox);
      policy_ = spec.policy;
      EXPECT_EQ(run("cat " + (work_ / target / "secret").string()).output, "of the host\n")
          << target;
      EXPECT_THAT(run("ls /etc /proc/sys /etc/ssl").output, Not(HasSubstr("secret"))) << target;
      EXPECT_THAT(run("ls /proc/self/status").output, HasSubstr("/proc/self/status")) << target;
      stop();
    }
  }
}

// runc CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881 as races: while the sandbox is set up,
// somebody who may write to the directory on the host swaps the place of a mount and a masked file
// for links that lead elsewhere, and back. F1.
TEST_F(Cve, RuncPlaceSwappedDuringSetUp) {
  const fs::path shared = outside_ / "shared";
  fs::create_directories(shared / "covered");
  ASSERT_TRUE(write_file_atomically(shared / "covered/secret", "covered secret\n"));
  ASSERT_TRUE(write_file_atomically(shared / "key", "masked secret\n"));
  ASSERT_TRUE(write_file_atomically(shared / "decoy", "decoy\n"));
  fs::create_directory_symlink("/var", shared / "other");
  fs::create_symlink("decoy", shared / "link");
  SandboxSpec spec{test_policy(), {}, nullptr};
  // With the host's own mount, in which such changes are seen at once.
  spec.policy.grants.emplace_back("host_sockets");
  spec.policy.filesystem.mounts.push_back(read_only(shared, "/shared"));
  const std::string look =
      "cat /shared/covered/secret /shared/other/secret /shared/key /shared/link 2>&1";
  // The control: without the cover and the mask they are read.
  start(spec);
  EXPECT_THAT(run(look).output, AllOf(HasSubstr("covered secret"), HasSubstr("masked secret")));
  stop();
  Mount cover;
  cover.kind = Mount::Kind::fresh;
  cover.target = "/shared/covered";
  spec.policy.filesystem.mounts.push_back(cover);
  spec.policy.filesystem.masked.emplace_back("/shared/key");
  std::atomic<bool> done{false};
  std::thread swapper([&] {
    auto swap = [&](const char* one, const char* other) {
      ::renameat2(AT_FDCWD, (shared / one).c_str(), AT_FDCWD, (shared / other).c_str(),
                  RENAME_EXCHANGE);
    };
    while (!done) {
      swap("covered", "other");
      swap("key", "link");
    }
  });
  int started = 0;
  for (int round = 0; round < 150 && !HasFailure(); ++round) {
    auto sandbox = Sandbox::start(spec);
    if (!sandbox) continue;  // refused is fine
    ++started;
    sandbox_ = std::move(*sandbox);
    policy_ = spec.policy;
    const std::string seen = run(look).output;
    EXPECT_THAT(seen, Not(HasSubstr("covered secret"))) << "round " << round;
    stop();
  }
  done = true;
  swapper.join();
  EXPECT_GT(started, 10);
}

// runc CVE-2019-16884: a volume over /proc, so that what is written there reaches no kernel.
TEST_F(Cve, RuncMountOverProc) {
  for (const char* target : {"/proc", "/proc/self/attr", "/dev", "/dev/pts", "/"}) {
    nlohmann::json json = policy_to_json(test_policy());
    json["filesystem"]["mounts"].push_back(
        {{"kind", "read_only"}, {"target", target}, {"source", outside_.string()}});
    auto policy = policy_from_json(json, "cve");
    ASSERT_FALSE(policy) << target;
    EXPECT_THAT(policy.error().line(), HasSubstr(target));
  }
}

// runc CVE-2024-21626: the working directory of a command is a directory of the host that the
// runtime holds open. B6.
TEST_F(Cve, RuncWorkingDirectoryByDescriptor) {
  start();
  std::string up;
  for (int i = 0; i < 20; ++i) up += "../";
  int entered = 0;
  for (int fd = 0; fd < 64; ++fd) {
    Command command;
    command.argv = {"/bin/cat", up.substr(0, up.size() - 1) + (outside_ / "secret").string()};
    command.environment = command_environment(policy_);
    command.directory = "/proc/self/fd/" + std::to_string(fd);
    auto id = sandbox_->spawn(command);
    ASSERT_TRUE(id) << id.error().line();
    auto end = sandbox_->wait(*id, std::chrono::steady_clock::now() + std::chrono::seconds(10));
    ASSERT_TRUE(end && *end);
    EXPECT_NE((*end)->exit_code, 0) << fd;
    entered += (*end)->start_error.empty() ? 1 : 0;
  }
  EXPECT_EQ(entered, 0) << "a descriptor of a directory is open at the start of a command";
}

// crun CVE-2025-24965: the runtime writes a file of its own into the attacker's tree, through a
// link there. Seed files go into a layer of their own.
TEST_F(Cve, CrunFileWrittenThroughALink) {
  fs::create_directory_symlink(outside_, work_ / "link");
  fs::create_symlink(outside_ / "secret", work_ / "config");
  SandboxSpec spec = in_prepared_directory();
  for (const char* name : {"link/planted", "config"}) {
    SeedFile file;
    file.path = (work_ / name).string();
    file.content = "planted\n";
    spec.seed.push_back(file);
  }
  start(spec);
  EXPECT_EQ(run("cat " + (work_ / "config").string()).output, "planted\n");
  run("echo changed > " + (work_ / "config").string());
  stop();
  EXPECT_EQ(*read_file(outside_ / "secret"), "of the host\n");
  EXPECT_FALSE(fs::exists(outside_ / "planted"));
}

// crun CVE-2022-27650 (inheritable capabilities) is in the attack program; CVE-2026-30892: the user
// 1 became the user 0.
TEST_F(Cve, CrunLowUserNumbers) {
  for (std::uint32_t number : {1U, 2U, 999U, 65533U}) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    spec.policy.identity.uid = spec.policy.identity.gid = number;
    start(spec);
    std::string text = std::to_string(number);
    EXPECT_EQ(run("id -u; id -g").output, text + "\n" + text + "\n");
    EXPECT_THAT(run("grep -E '^(Uid|Gid):' /proc/self/status").output,
                HasSubstr(text + "\t" + text + "\t" + text + "\t" + text));
    if (::geteuid() == 0) {
      EXPECT_EQ(run("id -G").output, text + "\n");
    }
    EXPECT_EQ(run("grep CapEff /proc/self/status").output, "CapEff:\t0000000000000000\n");
    stop();
  }
}

// srt: an empty allow list meant open.
TEST_F(Cve, SrtEmptyListsAllowNothing) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  spec.policy.seccomp.socket_families = {};
  spec.policy.environment_pass = {};
  spec.policy.filesystem.devices = {};
  std::erase_if(spec.policy.filesystem.mounts,
                [](const Mount& mount) { return mount.target.starts_with("/etc"); });
  ::setenv("TERM", "of-the-host", 1);
  start(spec);
  EXPECT_THAT(run("echo [$TERM]").output, HasSubstr("[]"));
  EXPECT_EQ(
      run("test -e /etc/ssl && ls /etc; ls /dev | grep -c -E 'null|zero|full|random|tty'").output,
      "0\n");
  if (::access("/usr/bin/python3", X_OK) != 0) return;
  Ran ran = run_argv({"/usr/bin/python3", "-c",
                      "import socket\n"
                      "for f in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):\n"
                      "  try: socket.socket(f); print('worked')\n"
                      "  except OSError as e: print(e.errno)\n"});
  EXPECT_EQ(ran.output, "97\n97\n97\n");  // EAFNOSUPPORT
}

// A mask that is a pattern would mask nothing: later files that it was meant for would be read. F5.
TEST_F(Cve, AMaskThatIsAPatternIsRefused) {
  nlohmann::json json = policy_to_json(test_policy());
  json["filesystem"]["masked"].push_back("/home/*/.ssh");
  auto policy = policy_from_json(json, "cve");
  ASSERT_FALSE(policy);
  EXPECT_THAT(policy.error().line(), HasSubstr("/home/*/.ssh"));
}

// Nor does one over the root: who stands in it does not see what is mounted over it.
TEST_F(Cve, AMaskOfTheRootIsRefused) {
  nlohmann::json json = policy_to_json(test_policy());
  json["filesystem"]["masked"].push_back("/");
  auto policy = policy_from_json(json, "cve");
  ASSERT_FALSE(policy);
  EXPECT_THAT(policy.error().line(), HasSubstr("the root cannot be masked"));
}

// Pid 1 would count nothing there, and no limit that it holds would hold.
TEST_F(Cve, AMaskOfProcIsRefused) {
  nlohmann::json json = policy_to_json(test_policy());
  json["filesystem"]["masked"].push_back("/proc");
  auto policy = policy_from_json(json, "cve");
  ASSERT_FALSE(policy);
  EXPECT_THAT(policy.error().line(), HasSubstr("/proc cannot be masked"));
}

// bubblewrap CVE-2020-5291, firejail CVE-2016-9016 to CVE-2016-10123, CVE-2017-5180, CVE-2017-5206,
// CVE-2017-5207, CVE-2017-5940, CVE-2021-26910, CVE-2022-31214: holes of programs that are
// installed set-user-id. Gyges is not, and refuses to run so.
TEST_F(Cve, FirejailSetUserId) {
  struct stat info {};
  ASSERT_EQ(::stat(GYGES_BINARY, &info), 0);
  EXPECT_EQ(info.st_mode & 06000U, 0U);
  if (::geteuid() != 0) GTEST_SKIP() << "making a program set-user-id takes root";
  // In namespaces of its own, because such a file is dangerous to whom it is offered.
  std::string command =
      "unshare -m --propagation private sh -c 'mount -t tmpfs -o mode=755 none /mnt && cp " +
      std::string(GYGES_BINARY) +
      " /mnt/gyges && chmod 4755 /mnt/gyges && "
      "setpriv --reuid=65533 --regid=65533 --clear-groups /mnt/gyges run --recorder off -- true'"
      " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char text[1024] = {};
  std::size_t length = ::fread(text, 1, sizeof(text) - 1, pipe);
  int status = ::pclose(pipe);
  EXPECT_THAT(std::string(text, length), HasSubstr("set-user-id"));
  EXPECT_EQ(WEXITSTATUS(status), 125);
}

// A masked path that does not exist when the run begins, and appears on the host while it goes on.
// F4.
TEST_F(Cve, AMaskOfWhatDoesNotExistYet) {
  SandboxSpec spec = in_prepared_directory();
  spec.policy.filesystem.masked.push_back((work_ / "later").string());
  start(spec);
  ASSERT_TRUE(write_file_atomically(work_ / "later", "secret\n"));
  EXPECT_THAT(run("cat " + (work_ / "later").string()).output, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace gyges::isolation
