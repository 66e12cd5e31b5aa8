// What processes of the host share without a network: sockets, segments, queues. Each attempt once
// in a sandbox and once beside the host's objects in nothing but a pid namespace, which shows that
// they are there.
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "gateway_fixture.h"

namespace gyges::isolation {
namespace {

// Hands every client a descriptor of a file of the host.
class DescriptorServer {
 public:
  DescriptorServer(const std::string& address, const std::string& file)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), file_(file) {
    sockaddr_un here{};
    here.sun_family = AF_UNIX;
    std::memcpy(here.sun_path, address.data(), std::min(address.size(), sizeof(here.sun_path)));
    auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    bound_ = ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&here), size) == 0 &&
             ::listen(fd_.get(), 8) == 0;
    if (bound_ && address[0] != 0) ::chmod(address.c_str(), 0777);
    thread_ = std::thread([this] { serve(); });
  }
  ~DescriptorServer() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] bool bound() const { return bound_; }
  [[nodiscard]] int served() const { return served_; }

 private:
  void serve() {
    while (!stop_) {
      pollfd wait{fd_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 50) <= 0) continue;
      UniqueFd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      UniqueFd file(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
      int passed = file.get();
      char byte = 0;
      iovec part{&byte, 1};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rights), &passed, sizeof(int));
      if (::sendmsg(client.get(), &message, MSG_NOSIGNAL) == 1) ++served_;
    }
  }
  UniqueFd fd_;
  std::string file_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> served_ = 0;
  bool bound_ = false;
  std::thread thread_;
};

using Outcomes = std::map<std::string, std::string>;

Outcomes parse(const std::string& output) {
  Outcomes outcomes;
  for (const std::string& line : split(output, '\n'))
    if (auto space = line.find(' '); space != std::string::npos)
      outcomes[line.substr(0, space)] = line.substr(space + 1);
  return outcomes;
}

class IpcTest : public GatewayTest {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-ipc");
    ASSERT_TRUE(directory);
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    ASSERT_EQ(::chmod(directory_->path().c_str(), 0755), 0);
    ASSERT_TRUE(write_file_atomically(path("secret"), "of the host\n", 0644));
    key_ = 0x2000000 + ::getpid();
    name_ = "gyges-ipc-" + std::to_string(::getpid());
    by_path_ = std::make_unique<DescriptorServer>(path("socket"), path("secret"));
    abstract_ = std::make_unique<DescriptorServer>(std::string(1, '\0') + name_, path("secret"));
    ASSERT_TRUE(by_path_->bound() && abstract_->bound());
    segment_ = ::shmget(key_, 4096, IPC_CREAT | IPC_EXCL | 0666);
    semaphores_ = ::semget(key_, 1, IPC_CREAT | IPC_EXCL | 0666);
    messages_ = ::msgget(key_, IPC_CREAT | IPC_EXCL | 0666);
    ASSERT_TRUE(segment_ >= 0 && semaphores_ >= 0 && messages_ >= 0);
    memory_.reset(::shm_open(("/" + name_).c_str(), O_RDWR | O_CREAT | O_EXCL, 0666));
    mqd_t queue = ::mq_open(("/" + name_).c_str(), O_RDWR | O_CREAT | O_EXCL, 0666, nullptr);
    ASSERT_TRUE(memory_);
    has_queue_ = queue != static_cast<mqd_t>(-1);
    if (has_queue_) ::mq_close(queue);
  }
  void TearDown() override {
    GatewayTest::TearDown();
    ::shmctl(segment_, IPC_RMID, nullptr);
    ::semctl(semaphores_, 0, IPC_RMID);
    ::msgctl(messages_, IPC_RMID, nullptr);
    ::shm_unlink(("/" + name_).c_str());
    ::mq_unlink(("/" + name_).c_str());
  }
  [[nodiscard]] std::string path(const char* name) const {
    return (directory_->path() / name).string();
  }
  [[nodiscard]] std::vector<std::string> arguments() const {
    return {"ipc", path("socket"), name_, std::to_string(key_)};
  }

  // With a pid namespace of its own and everything else of the host's.
  Outcomes beside_the_host() {
    SandboxSpec spec = spec_with({{"mode", "none"}});
    std::string program = path("attempts");
    EXPECT_TRUE(write_file_atomically(program, spec.seed.back().content, 0755));
    auto pipe = make_pipe();
    if (!pipe) return {};
    pid_t outer = ::fork();
    if (outer == 0) {
      int flags = CLONE_NEWPID | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
      if (::unshare(flags) != 0) ::_exit(100);
      pid_t inner = ::fork();
      if (inner == 0) {
        ::dup2(pipe->write.get(), 1);
        auto words = arguments();
        ::execl(program.c_str(), "attempts", words[0].c_str(), words[1].c_str(), words[2].c_str(),
                words[3].c_str(), nullptr);
        ::_exit(101);
      }
      int status = 0;
      ::waitpid(inner, &status, 0);
      ::_exit(WEXITSTATUS(status));
    }
    pipe->write.reset();
    auto output = read_all(pipe->read.get(), 65536);
    int status = 0;
    ::waitpid(outer, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return output ? parse(*output) : Outcomes{};
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  std::unique_ptr<DescriptorServer> by_path_, abstract_;
  std::string name_;
  UniqueFd memory_;
  int key_ = 0, segment_ = -1, semaphores_ = -1, messages_ = -1;
  bool has_queue_ = false;
};

TEST_F(IpcTest, NothingOfTheHostsIsSharedWithTheSandbox) {
  Outcomes control = beside_the_host();
  for (const char* name : {"unix_path", "unix_abstract", "sysv_memory", "sysv_semaphores",
                           "sysv_messages", "posix_memory", "netlink_0"})
    EXPECT_EQ(control[name], "worked") << name;
  if (has_queue_) {
    EXPECT_EQ(control["posix_queue"], "worked");
  }
  EXPECT_EQ(by_path_->served(), 1);
  EXPECT_EQ(abstract_->served(), 1);

  // The directory of the socket is shown as a workspace is.
  SandboxSpec spec = spec_with({{"mode", "gateway"}});
  Mount mount;
  mount.kind = Mount::Kind::overlay;
  mount.target = directory_->path().string();
  spec.policy.filesystem.mounts.push_back(mount);
  start(spec);
  auto words = arguments();
  words.insert(words.begin(), "/tmp/attempts");
  Ran ran = run_argv(words);
  EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
  Outcomes inside = parse(ran.output);
  EXPECT_EQ(run("cat " + path("secret")).output, "of the host\n");  // the directory is there
  EXPECT_GE(inside.size(), control.size());
  for (const auto& [name, outcome] : inside) {
    // Routes and sockets may be asked for: those of the sandbox's own network.
    const bool own = name == "netlink_0" || name == "netlink_4";
    if (own) {
      EXPECT_EQ(outcome, "worked") << name;
    } else {
      EXPECT_NE(outcome, "worked") << name;
    }
    if (name.starts_with("netlink") && !own) {
      EXPECT_EQ(outcome, "EPROTONOSUPPORT") << name;
    }
    if (name == "vsock") {
      EXPECT_EQ(outcome, "EAFNOSUPPORT") << name;
    }
  }
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(by_path_->served(), 1);
  EXPECT_EQ(abstract_->served(), 1);
}

}  // namespace
}  // namespace gyges::isolation
