#include "sandbox/network/gateway_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <future>
#include <mutex>
#include <vector>

#include "base/fd_message.h"
#include "base/files.h"
#include "base/json.h"
#include "base/program_file.h"
#include "base/text.h"
#include "base/thread_start.h"
#include "sandbox/network/gateway_descriptors.h"
#include "sandbox/network/http/broken.h"
#include "sandbox/network/netlink_batch.h"

extern "C" const char gyges_gateway_program_begin[];
extern "C" const char gyges_gateway_program_end[];
extern "C" const char gyges_gateway_loader_begin[];
extern "C" const char gyges_gateway_loader_end[];

namespace gyges::network {
namespace {

std::string_view bytes_between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

// What is executed, and the file that it loads the gateway from; without one it is the gateway.
struct Image {
  UniqueFd executable;
  UniqueFd program;
};

using SharedImage = std::shared_future<Result<Image>>;

// Where the program cannot be mapped from our own executable. A thread of its own writes its 8 MB.
SharedImage copy_gateway(std::string_view program) {
  return std::async(std::launch::async,
                    [program]() -> Result<Image> {
                      // Signals are for the threads that wait for them.
                      sigset_t all;
                      sigfillset(&all);
                      ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
                      Image image;
                      GYGES_TRY(image.executable, make_program_file("gateway", program));
                      return image;
                    })
      .share();
}

SharedImage make_gateway_image() {
  const std::string_view program =
      bytes_between(gyges_gateway_program_begin, gyges_gateway_program_end);
  Image image;
#if !defined(GYGES_GATEWAY_DYNAMIC)
  image.program = find_in_own_executable(program);
#endif
  if (!image.program) return copy_gateway(program);
  auto loader = make_program_file(
      "gateway", bytes_between(gyges_gateway_loader_begin, gyges_gateway_loader_end));
  std::promise<Result<Image>> made;
  if (loader) {
    image.executable = std::move(*loader);
    made.set_value(std::move(image));
  } else {
    made.set_value(tl::unexpected<Error>(std::move(loader.error())));
  }
  return made.get_future().share();
}

// Made once.
const SharedImage& gateway_image() {
  static const SharedImage image = make_gateway_image();
  return image;
}

// Whole or an error; `n` bytes.
bool read_exactly(int fd, char* into, std::size_t n) {
  while (n > 0) {
    ssize_t got = ::read(fd, into, n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into += got;
    n -= static_cast<std::size_t>(got);
  }
  return true;
}

Status send_message(int to, std::string_view bytes, const std::vector<int>& fds) {
  if (send_with_fds(to, bytes, fds) != 0) return fail_errno("hand sockets to", "gateway");
  return ok();
}

// Their form: gateway_descriptors.h.
Status send_sockets(int to, const GatewaySockets& sockets,
                    const std::vector<PortListener>& listeners) {
  using namespace gateway_process;
  std::vector<int> fds;
  for (std::size_t i = 0; i < handed_sockets; ++i)
    fds.push_back(sockets.fds[GatewaySockets::tcp4 + i].get());
  const auto count = static_cast<std::uint32_t>(listeners.size());
  GYGES_CHECK(send_message(to, bytes_of(count), fds));
  for (std::size_t begin = 0; begin < listeners.size(); begin += most_listeners_at_once) {
    const std::size_t end = std::min(listeners.size(), begin + most_listeners_at_once);
    std::vector<std::uint16_t> ports;
    fds.clear();
    for (std::size_t i = begin; i < end; ++i) {
      ports.push_back(listeners[i].port);
      fds.push_back(listeners[i].socket.get());
    }
    GYGES_CHECK(
        send_message(to, {reinterpret_cast<const char*>(ports.data()), ports.size() * 2}, fds));
  }
  return ok();
}

// As resolv.conf(5) of the host, at most three; the gateway has no file system.
std::vector<std::string> host_name_servers() {
  std::vector<std::string> servers;
  auto text = read_file("/etc/resolv.conf", 65536);
  if (!text) return servers;
  for (std::string line : split(*text, '\n')) {
    constexpr std::string_view key = "nameserver";
    if (!line.starts_with(key) || servers.size() == 3) continue;
    line.erase(0, key.size());
    std::erase_if(line, [](unsigned char c) { return std::isspace(c) != 0; });
    if (parse_address(line)) servers.push_back(line);
  }
  return servers;
}

// What OpenSSL on this host trusts, for the checks of an interception.
Result<std::string> host_authorities() {
  const char* chosen = std::getenv("SSL_CERT_FILE");
  constexpr std::size_t most = 8U << 20U;
  for (const char* path : {chosen, "/etc/ssl/certs/ca-certificates.crt",
                           "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}) {
    if (path == nullptr) continue;
    auto text = read_file(path, most);
    if (text && text->find("-----BEGIN CERTIFICATE-----") != std::string::npos) return *text;
    if (path == chosen)
      return fail("read authorities", path, "SSL_CERT_FILE names no list of certificates");
  }
  return fail("read authorities", "/etc/ssl/certs/ca-certificates.crt",
              "this host has no list of certificate authorities, and a rule intercepts TLS",
              "install ca-certificates, or set SSL_CERT_FILE");
}

// Gateways that have said their last word and are still being taken apart by the kernel: closing
// their packet socket waits for a grace period, some 10 ms in which nobody needs to stand by.
class Leaving {
 public:
  void add(pid_t pid) {
    std::scoped_lock lock(mutex_);
    pids_.push_back(pid);
  }
  void reap() {
    std::scoped_lock lock(mutex_);
    std::erase_if(pids_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG | __WALL) != 0; });
  }

 private:
  std::mutex mutex_;
  std::vector<pid_t> pids_;
};

Leaving& leaving() {
  static Leaving all;
  return all;
}

// Where the gateway puts the bodies that it keeps when they are many; gone with it.
Result<UniqueFd> make_spill_file() {
  const char* chosen = std::getenv("TMPDIR");
  int code = 0;
  for (const char* directory : {chosen, "/var/tmp", "/tmp"}) {
    if (directory == nullptr) continue;
    UniqueFd file(::open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (file) return file;
    code = errno;
  }
  return fail_errno("make temporary file", "/var/tmp", code,
                    "set TMPDIR to a directory whose file system has files without names");
}

}  // namespace

void GatewayProcess::prepare() {
  (void)gateway_image();
}

Result<std::unique_ptr<GatewayProcess>> GatewayProcess::launch(const NetworkPolicy& policy,
                                                               std::string_view packed_world,
                                                               FlowSink sink, int outlet) {
  std::vector<std::string> servers = host_name_servers();
  bool intercepts = false;
  for (const NetworkRule& rule : policy.rules) {
    if (rule.action == RuleAction::relay && !rule.domains.empty() && servers.empty())
      return fail("start gateway", "rule " + rule.name,
                  "it relays to domains, and /etc/resolv.conf of this host names no name server",
                  "name the networks to relay to, or give the host a name server");
    intercepts |= rule.intercept;
    if (rule.intercept && packed_world.empty())
      return fail("start gateway", "rule " + rule.name,
                  "it intercepts TLS, and there is no persona whose authority the sandbox trusts",
                  "run with a persona that has an internet, or leave `intercept` out");
    if (rule.action == RuleAction::simulate && packed_world.empty())
      return fail("start gateway", "rule " + rule.name, "there is no simulated world to answer",
                  "use sink or refuse");
  }
  leaving().reap();
  std::unique_ptr<GatewayProcess> process(new GatewayProcess);
  process->policy_ = policy;
  const Result<Image>& image = gateway_image().get();
  if (!image) return tl::unexpected<Error>(image.error());
  nlohmann::json document = network_policy_to_json(policy);
  document["name_servers"] = servers;
  document["outlet"] = outlet >= 0;
  if (intercepts) {
    GYGES_TRY(document["authorities"], host_authorities());
  }
  GYGES_TRY(UniqueFd config, make_sealed_memfd("config", document.dump()));
  GYGES_TRY(UniqueFd world, make_sealed_memfd("world", packed_world));
  GYGES_TRY(Pipe sockets, make_socket_pair(SOCK_STREAM));
  for (int fd : {config.get(), world.get()}) ::lseek(fd, 0, SEEK_SET);
  process->sink_ = std::move(sink);
  GYGES_TRY(UniqueFd spill, make_spill_file());
  GYGES_TRY(process->started_,
            StartedProgram::start({image->executable.get(),
                                   {"gyges-gateway"},
                                   {sockets.write.get(), config.get(), world.get(), spill.get(),
                                    outlet, image->program ? image->program.get() : -1},
                                   SIGCHLD}));
  process->report_ = std::move(sockets.read);
  return process;
}

Status GatewayProcess::connect(GatewaySockets sockets, pid_t agent, std::string_view packed_world) {
  GYGES_CHECK(started_.executed("gateway"));
  if (sockets.fds.size() != GatewaySockets::count)
    return fail("start gateway", "", "pid 1 handed over other sockets than agreed");
  GYGES_TRY(Capture capture, build_topology(policy_, sockets, agent, packed_world));
  listed_ports_ = std::move(capture.words);
  return send_sockets(report_.get(), sockets, capture.listeners);
}

Status GatewayProcess::await() {
  std::uint32_t size = 0;
  pollfd word{report_.get(), POLLIN, 0};
  constexpr int patience_ms = 60000;
  if (::poll(&word, 1, patience_ms) == 0)
    return fail("start gateway", "", "it did not serve within 60 s", "look at the host's load");
  if (!read_exactly(report_.get(), reinterpret_cast<char*>(&size), sizeof(size)))
    return fail("start gateway", "", "it ended without a word");
  copies_ = size == gateway_process::ready_but_copying;
  if (size != 0 && !copies_) {
    std::string line(std::min<std::uint32_t>(size, 4096), '\0');
    (void)read_exactly(report_.get(), line.data(), line.size());
    return fail("start gateway", "", line);
  }
  collected_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!collected_) return fail_errno("make event counter", "");
  GYGES_TRY(collector_, start_thread("collects flows of the network", [this] { collect(); }));
  return ok();
}

// Frames of a stream: a length of four bytes and as much. Reads what is there, not each frame.
class GatewayProcess::FrameReader {
 public:
  explicit FrameReader(int fd) : fd_(fd) {}

  // The next `size` bytes; empty at the stream's end. Valid until the next call.
  std::string_view next(std::size_t size) {
    while (end_ - begin_ < size) {
      if (begin_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
      }
      if (buffer_.size() < size) buffer_.resize(size);
      ssize_t n = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return {};
      end_ += static_cast<std::size_t>(n);
    }
    begin_ += size;
    return {buffer_.data() + begin_ - size, size};
  }

 private:
  int fd_;
  std::vector<char> buffer_ = std::vector<char>(256U << 10U);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

void GatewayProcess::collect() {
  FrameReader reader(report_.get());
  auto read_one = [&]() -> Result<bool> {
    std::string_view head = reader.next(sizeof(std::uint32_t));
    if (head.empty()) return false;
    std::uint32_t size = 0;
    std::memcpy(&size, head.data(), sizeof(size));
    if (size == 0) {  // the end, which a gateway that died does not say
      whole_ = true;
      return false;
    }
    if (size > max_flow_bytes) return fail("read flows", "", "a report is too long");
    std::string_view frame = reader.next(size);
    if (frame.empty())
      return fail("read flows", "", "the gateway's report ends in the middle of a flow");
    GYGES_TRY(Flow flow, decode_flow(frame));
    ++flows_;
    if (sink_) GYGES_CHECK(sink_(std::move(flow)));
    return true;
  };
  for (;;) {
    auto more = read_one();
    if (more && *more) continue;
    // Closed, the gateway ends: what it does from now on would stand in no record.
    if (!more) {
      failure_ = std::move(more.error());
      ::shutdown(report_.get(), SHUT_RDWR);
    }
    (void)::eventfd_write(collected_.get(), 1);
    return;
  }
}

// Of one that did not say its last word. It is a zombie, or about to be.
std::string GatewayProcess::how_it_ended(bool in_time) {
  siginfo_t end{};
  if (!in_time) return "it did not end within 10 s and was killed";
  if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(started_.pidfd().get()), &end,
               WEXITED | WNOWAIT | __WALL) != 0)
    return "it did not end by itself";
  if (end.si_code != CLD_EXITED) return fmt::format("it was ended by signal {}", end.si_status);
  const std::string_view broken = broken_by(end.si_status);
  return broken.empty() ? fmt::format("it ended early with status {}", end.si_status)
                        : fmt::format("it ended because {}", broken);
}

void GatewayProcess::begin_stop() {
  ::shutdown(report_.get(), SHUT_WR);
}

Status GatewayProcess::stop() {
  if (ended_ || !collector_.joinable()) return ok();
  ended_ = true;
  begin_stop();
  pollfd collected{collected_.get(), POLLIN, 0};
  bool in_time = ::poll(&collected, 1, 10000) == 1;
  if (!in_time) ::syscall(SYS_pidfd_send_signal, started_.pidfd().get(), SIGKILL, nullptr, 0);
  collector_.join();
  if (failure_) return tl::unexpected<Error>(std::move(*failure_));
  if (!whole_) return fail("stop gateway", "", how_it_ended(in_time) + "; flows may be missing");
  return ok();
}

GatewayProcess::~GatewayProcess() {
  if (pid() < 0) return;
  ::syscall(SYS_pidfd_send_signal, started_.pidfd().get(), SIGKILL, nullptr, 0);
  if (collector_.joinable()) collector_.join();
  leaving().add(pid());
  leaving().reap();
}

}  // namespace gyges::network
