// The responder's program: embedded into gyges, executed from a sealed memory file when the first
// client of a sandbox comes.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <list>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/files.h"
#include "sandbox/bus/answers.h"
#include "sandbox/bus/client.h"
#include "sandbox/bus/document.h"
#include "sandbox/network/gateway/confinement.h"

// libdbus can serve sockets that systemd handed over, and its archive refers to these for it. The
// responder uses no server of libdbus's: there are none.
extern "C" int sd_listen_fds(int) {
  return 0;
}
extern "C" int sd_is_socket(int, int, int, int) {
  return 0;
}

namespace gyges::bus {
namespace {

using Clock = Client::Clock;

constexpr std::size_t most_clients = 128;
constexpr auto authentication_time = std::chrono::seconds(30);
constexpr auto idle_time = std::chrono::seconds(60);
// Of each second, so that a flood costs the host no more: clients wait then.
constexpr auto second = std::chrono::milliseconds(1000);
constexpr auto working_time = std::chrono::milliseconds(250);
#ifdef __SANITIZE_ADDRESS__
constexpr rlim_t most_memory = RLIM_INFINITY;  // its shadow is larger than any machine's memory
#else
constexpr rlim_t most_memory = 256U << 20U;
#endif

// What the loop below needs; anything else ends the process.
bool filter_own_calls() {
  constexpr std::array allowed{
      SYS_read, SYS_write, SYS_recvfrom, SYS_recvmsg, SYS_sendto, SYS_accept4, SYS_close, SYS_poll,
      SYS_ppoll, SYS_getsockopt, SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise, SYS_clock_gettime,
      SYS_futex, SYS_getrandom, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_gettid,
      SYS_rt_sigprocmask, SYS_restart_syscall, SYS_getpid, SYS_clock_nanosleep,
      // libdbus asks whether it is part of a set-user-ID program.
      SYS_getresuid, SYS_getresgid};
  std::vector<sock_filter> filter;
  auto load = [&](std::size_t offset) {
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  };
  load(offsetof(seccomp_data, arch));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  load(offsetof(seccomp_data, nr));
  for (long number : allowed) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  // Memory that can be executed never.
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3));
  load(offsetof(seccomp_data, args) + 16);
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

class Responder {
 public:
  explicit Responder(nlohmann::json document) : answers_(std::move(document)) {
    const nlohmann::json& peer = answers_.document()["peer_uid"];
    if (peer.is_number()) peer_ = peer.get<uid_t>();
    for (const nlohmann::json& one : answers_.document()["names"])
      polkit_ = polkit_ || one["name"] == "org.freedesktop.PolicyKit1";
  }

  // Until nobody has been there for a while: the supervisor starts another one then.
  void run() {
    Clock::time_point last = Clock::now();
    for (;;) {
      const bool full = clients_.size() >= most_clients;
      std::vector<pollfd> wait;
      for (int i = 0; i < listeners; ++i)
        wait.push_back({full ? -1 : first_listener_fd + i, POLLIN, 0});
      for (Client& client : clients_) wait.push_back({client.fd(), client.events(), 0});
      const auto patience = clients_.empty() ? idle_time : std::chrono::seconds(5);
      const int ready = ::poll(wait.data(), wait.size(),
                               static_cast<int>(std::chrono::milliseconds(patience).count()));
      const Clock::time_point now = Clock::now();
      if (ready < 0 && errno != EINTR) return;
      if (!clients_.empty() || ready > 0) last = now;
      if (now - last >= idle_time) return;
      if (ready > 0) {
        serve(wait);
        for (int i = 0; i < listeners; ++i)
          if ((wait[static_cast<std::size_t>(i)].revents & POLLIN) != 0) accept_from(i);
      }
      clients_.remove_if([&](Client& client) {
        return !client.authenticated() && now - client.begun() > authentication_time;
      });
      rest(now);
    }
  }

 private:
  void serve(const std::vector<pollfd>& wait) {
    std::size_t index = listeners;
    for (auto client = clients_.begin(); client != clients_.end(); ++index) {
      const short found = index < wait.size() ? wait[index].revents : short{0};
      const bool stays =
          found == 0 || client->serve(found, [this](DBusMessage& message, Client& from) {
            answer(message, from);
          });
      client = stays ? std::next(client) : clients_.erase(client);
    }
  }

  void answer(DBusMessage& message, Client& client) {
    Caller& caller = client.caller();
    const bool hello = !caller.direct && caller.name.empty() &&
                       dbus_message_is_method_call(&message, DBUS_INTERFACE_DBUS, "Hello") != 0;
    if (hello) caller.name = ":1." + std::to_string(++names_);
    std::vector<std::string> connected;
    for (Client& other : clients_)
      if (!other.caller().name.empty()) connected.push_back(other.caller().name);
    Message made = answers_.answer(message, caller, connected);
    if (made) client.send(*made);
    if (!hello) return;
    const Message signal(
        dbus_message_new_signal(DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "NameAcquired"));
    if (!signal || !append(*signal, "s", nlohmann::json::array({caller.name}))) return;
    dbus_message_set_sender(signal.get(), DBUS_SERVICE_DBUS);
    dbus_message_set_destination(signal.get(), caller.name.c_str());
    client.send(*signal);
  }

  void accept_from(int listener) {
    UniqueFd fd(
        ::accept4(first_listener_fd + listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
    clients_.emplace_back(
        std::move(fd), Caller{"", peer_.value_or(peer.uid), listener == private_listener, polkit_},
        answers_.document()["bus_id"].get<std::string>());
  }

  // The rest of a second, when its share has been worked off.
  void rest(Clock::time_point began) {
    const Clock::time_point now = Clock::now();
    if (now - second_ >= second) {
      second_ = now;
      worked_ = {};
    }
    worked_ += now - began;
    if (worked_ < working_time) return;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(second_ + second - now);
    ::poll(nullptr, 0, static_cast<int>(left.count()));
  }

  Answers answers_;
  std::optional<uid_t> peer_;
  bool polkit_ = false;
  std::list<Client> clients_;
  std::uint64_t names_ = 200;  // what has come and gone since the start
  Clock::time_point second_ = Clock::now();
  Clock::duration worked_{};
};

int serve() {
  UniqueFd file(document_fd);
  auto text = read_all(file.get(), most_document_bytes);
  if (!text) return 1;
  file.reset();
  nlohmann::json document = nlohmann::json::parse(*text, nullptr, false);
  if (document.is_discarded()) return 1;
  if (!network::give_up_surroundings(false, most_clients + 32, 0)) return 1;
  const rlimit memory{most_memory, most_memory};
  if (::setrlimit(RLIMIT_AS, &memory) != 0 || !filter_own_calls()) return 1;
  Responder(std::move(document)).run();
  return 0;
}

}  // namespace
}  // namespace gyges::bus

int main(int argc, char**) {
  if (argc != 1) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  return gyges::bus::serve();
}
