// The least that a relay can do, for comparison with the gateway: `bare_relay splice|copy ADDRESS
// SECONDS` listens at ADDRESS on the two ports of `load serve` and passes what comes on to that
// server, both ways. It decides nothing, hashes nothing and keeps nothing. One thread a direction
// with blocking calls, so that no readiness is asked for. Aims at documentation addresses only.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr char taker[] = "198.51.100.7";  // as in load.cpp
constexpr std::uint16_t ports[] = {7001, 7002};
constexpr int pipe_bytes = 1 << 20;
constexpr std::size_t piece_bytes = 1U << 18U;

sockaddr_in address(const char* host, std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, host, &to.sin_addr);
  return to;
}

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

void splice_all(int from, int to) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0 || ::fcntl(ends[1], F_SETPIPE_SZ, pipe_bytes) < 0)
    give_up("pipe");
  for (;;) {
    ssize_t n = ::splice(from, nullptr, ends[1], nullptr, pipe_bytes, SPLICE_F_MOVE);
    if (n <= 0) break;
    while (n > 0) {
      ssize_t gone = ::splice(ends[0], nullptr, to, nullptr, static_cast<std::size_t>(n),
                              SPLICE_F_MOVE | SPLICE_F_MORE);
      if (gone <= 0) break;
      n -= gone;
    }
    if (n > 0) break;
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

void copy_all(int from, int to) {
  std::vector<char> buffer(piece_bytes);
  for (;;) {
    ssize_t n = ::recv(from, buffer.data(), buffer.size(), 0);
    if (n <= 0 || ::send(to, buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) return;
  }
}

// Until both directions have ended.
void relay(int client, std::uint16_t port, bool splices) {
  int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to = address(taker, port);
  if (::connect(server, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) give_up("connect");
  auto pass = [splices](int from, int into) {
    (splices ? splice_all : copy_all)(from, into);
    ::shutdown(into, SHUT_WR);
    ::shutdown(from, SHUT_RD);
  };
  std::thread back([&] { pass(server, client); });
  pass(client, server);
  back.join();
  ::close(server);
  ::close(client);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  ::signal(SIGPIPE, SIG_IGN);  // splice(2) has no flag for it
  const std::string_view how = argv[1];
  const double seconds = std::atof(argv[3]);
  if ((how != "splice" && how != "copy") || seconds <= 0 || seconds > 120) return 2;
  std::vector<pollfd> waits;
  for (std::uint16_t port : ports) {
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in here = address(argv[2], port);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof(here)) != 0 || ::listen(fd, 64) != 0)
      give_up("listen");
    waits.push_back({fd, POLLIN, 0});
  }
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < std::chrono::duration<double>(seconds)) {
    if (::poll(waits.data(), waits.size(), 200) <= 0) continue;
    for (std::size_t i = 0; i < waits.size(); ++i) {
      if ((waits[i].revents & POLLIN) == 0) continue;
      int client = ::accept4(waits[i].fd, nullptr, nullptr, SOCK_CLOEXEC);
      if (client >= 0) std::thread(relay, client, ports[i], how == "splice").detach();
    }
  }
  ::_exit(0);  // threads of connections that are open end with it
}
