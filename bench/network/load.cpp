// Load on the network of a sandbox: `load http|dns|connect|idle SECONDS|COUNT` on the simulated
// internet, `load stream SECONDS` on what `load serve SECONDS` takes outside and `load download
// SECONDS` on what it gives, over as many connections as a third argument says, by way of another
// relay if a fourth gives its address. `load serve` also answers HTTP and DNS at the simulated
// address, for the same load without a gateway. Prints one JSON object. Bounded in time and count;
// aims at documentation addresses only.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr char target[] = "192.0.2.80";
constexpr char taker[] = "198.51.100.7";  // of serve
constexpr std::uint16_t taker_port = 7001;
constexpr std::uint16_t giver_port = 7002;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

sockaddr_in address(std::uint16_t port, const char* host = target) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, host, &to.sin_addr);
  return to;
}

int connected(int type, std::uint16_t port, const char* host = target) {
  int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  sockaddr_in to = address(port, host);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  int on = 1;
  if (type == SOCK_STREAM) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

// One request at a time on each of 16 connections that stay open.
int http(double seconds) {
  constexpr std::string_view request = "GET /a HTTP/1.1\r\nHost: web.example\r\n\r\n";
  constexpr int connections = 16;
  constexpr int each = 900;  // below the server's limit of one connection
  int epoll = ::epoll_create1(0);
  std::array<int, connections> left{};
  std::array<std::string, connections> answers;
  auto open = [&](int slot) {
    int fd = connected(SOCK_STREAM, 80);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<std::uint64_t>(slot) << 32U | static_cast<unsigned>(fd);
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    left[static_cast<std::size_t>(slot)] = each;
    (void)::send(fd, request.data(), request.size(), 0);
  };
  for (int i = 0; i < connections; ++i) open(i);
  std::array<epoll_event, connections> events{};
  std::array<char, 4096> buffer{};
  unsigned long done = 0;
  auto start = Clock::now();
  while (since(start) < seconds) {
    int count = ::epoll_wait(epoll, events.data(), connections, 1000);
    for (int i = 0; i < count; ++i) {
      auto key = events[static_cast<std::size_t>(i)].data.u64;
      int fd = static_cast<int>(key & 0xffffffffU);
      int slot = static_cast<int>(key >> 32U);
      std::string& answer = answers[static_cast<std::size_t>(slot)];
      ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (n > 0) answer.append(buffer.data(), static_cast<std::size_t>(n));
      if (n <= 0 || !answer.starts_with("HTTP/1.1 200")) {
        std::fprintf(stderr, "unexpected answer\n");
        return 1;
      }
      // Head and body come together, or from a proxy one after the other.
      std::size_t head = answer.find("\r\n\r\n");
      if (head == std::string::npos || answer.size() < head + 4 + 100) continue;
      answer.clear();
      ++done;
      if (--left[static_cast<std::size_t>(slot)] == 0) {
        ::close(fd);
        open(slot);
      } else {
        (void)::send(fd, request.data(), request.size(), 0);
      }
    }
  }
  std::printf("{\"http_requests_per_second\": %.0f}\n", static_cast<double>(done) / since(start));
  return 0;
}

// 64 questions under way on one socket.
int dns(double seconds) {
  int fd = connected(SOCK_DGRAM, 53);
  const std::string question("\0\1\1\0\0\1\0\0\0\0\0\0\3web\7example\0\0\1\0\1", 29);
  auto ask = [&] { (void)::send(fd, question.data(), question.size(), 0); };
  for (int i = 0; i < 64; ++i) ask();
  unsigned long done = 0;
  unsigned long lost = 0;
  std::array<char, 512> buffer{};
  auto start = Clock::now();
  while (since(start) < seconds) {
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, 200) == 0) {
      lost += 64;
      for (int i = 0; i < 64; ++i) ask();
      continue;
    }
    while (::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
      ++done;
      ask();
    }
  }
  std::printf("{\"dns_queries_per_second\": %.0f, \"lost\": %lu}\n",
              static_cast<double>(done) / since(start), lost);
  return 0;
}

// Open connections that wait in the middle of a request; the caller looks at the gateway meanwhile.
int idle(int count) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  constexpr std::string_view part = "GET /a HTTP/1.1\r\nHost: web.exa";
  auto start = Clock::now();
  for (int i = 0; i < count; ++i)
    (void)::send(connected(SOCK_STREAM, 80), part.data(), part.size(), 0);
  std::printf("{\"open\": %d, \"seconds\": %.2f}\n", count, since(start));
  std::fflush(stdout);
  ::sleep(4);
  return 0;
}

// How long a connect takes, one after the other.
int connects(double seconds) {
  std::vector<double> times;
  auto start = Clock::now();
  while (since(start) < seconds) {
    auto begin = Clock::now();
    int fd = connected(SOCK_STREAM, 80);
    times.push_back(since(begin) * 1e3);
    ::close(fd);
  }
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  std::printf("{\"connect_median_ms\": %.3f, \"count\": %zu}\n", times[times.size() / 2],
              times.size());
  return 0;
}

int listener(int type, std::uint16_t port, const char* host) {
  int fd = ::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in here = address(port, host);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof(here)) != 0 ||
      (type == SOCK_STREAM && ::listen(fd, 512) != 0)) {
    std::perror("listen");
    std::exit(1);
  }
  return fd;
}

// Sends for ever, in a process of its own.
void give(int client) {
  if (::fork() == 0) {
    std::vector<char> block(1U << 18U, 's');
    while (::send(client, block.data(), block.size(), MSG_NOSIGNAL) > 0) {
    }
    ::_exit(0);
  }
  ::close(client);
}

// Throws away what comes to the taker, and answers each request and each question, with as little
// work as there can be.
int serve(double seconds) {
  const std::string page =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n" +
      std::string(100, 'a');
  int taking = listener(SOCK_STREAM, taker_port, taker);
  int web = listener(SOCK_STREAM, 80, target);
  int names = listener(SOCK_DGRAM, 53, target);
  int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  auto watch = [&](int fd, bool answers) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<std::uint64_t>(answers) << 32U | static_cast<unsigned>(fd);
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  int giving = listener(SOCK_STREAM, giver_port, taker);
  for (int fd : {taking, web, names, giving}) watch(fd, false);
  std::vector<char> buffer(1U << 18U);
  std::array<epoll_event, 64> events{};
  auto start = Clock::now();
  while (since(start) < seconds) {
    int count = ::epoll_wait(epoll, events.data(), events.size(), 200);
    for (int i = 0; i < count; ++i) {
      auto key = events[static_cast<std::size_t>(i)].data.u64;
      int fd = static_cast<int>(key & 0xffffffffU);
      if (fd == taking || fd == web) {
        int client = ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client >= 0) watch(client, fd == web);
      } else if (fd == giving) {
        give(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
      } else if (fd == names) {
        sockaddr_in from{};
        socklen_t size = sizeof(from);
        ssize_t n = 0;
        while ((n = ::recvfrom(fd, buffer.data(), 512, 0, reinterpret_cast<sockaddr*>(&from),
                               &size)) > 0) {
          buffer[2] = static_cast<char>(0x81);  // an answer
          buffer[7] = 1;                        // with one record
          std::memcpy(buffer.data() + n, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x50", 16);
          (void)::sendto(fd, buffer.data(), static_cast<std::size_t>(n) + 16, 0,
                         reinterpret_cast<sockaddr*>(&from), size);
        }
      } else {
        ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
          ::close(fd);
        else if (n > 0 && (key >> 32U) != 0)
          (void)::send(fd, page.data(), page.size(), MSG_NOSIGNAL);
      }
    }
  }
  return 0;
}

// Bytes that the other side has acknowledged with its own end.
double sent(int fd, double seconds) {
  std::vector<char> block(1U << 18U, 's');
  double bytes = 0;
  auto start = Clock::now();
  while (since(start) < seconds) {
    ssize_t n = ::send(fd, block.data(), block.size(), MSG_NOSIGNAL);
    if (n <= 0) {
      std::perror("send");
      std::exit(1);
    }
    bytes += static_cast<double>(n);
  }
  ::shutdown(fd, SHUT_WR);
  char byte = 0;
  while (::recv(fd, &byte, 1, 0) > 0) {
  }
  return bytes * 8 / 1e9 / since(start);
}

double taken(int fd, double seconds) {
  std::vector<char> block(1U << 18U);
  double bytes = 0;
  auto start = Clock::now();
  while (since(start) < seconds) {
    ssize_t n = ::recv(fd, block.data(), block.size(), 0);
    if (n <= 0) {
      std::perror("recv");
      std::exit(1);
    }
    bytes += static_cast<double>(n);
  }
  return bytes * 8 / 1e9 / since(start);
}

int bulk(bool download, double seconds, int connections, const char* host) {
  std::vector<double> rates(static_cast<std::size_t>(connections));
  std::vector<std::thread> threads;
  for (double& rate : rates)
    threads.emplace_back([&rate, download, seconds, host] {
      int fd = connected(SOCK_STREAM, download ? giver_port : taker_port, host);
      rate = download ? taken(fd, seconds) : sent(fd, seconds);
      ::close(fd);
    });
  for (auto& thread : threads) thread.join();
  double all = 0;
  for (double rate : rates) all += rate;
  std::printf("{\"%s_gigabits_per_second\": %.2f, \"connections\": %d}\n",
              download ? "download" : "upload", all, connections);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) return 2;
  std::string_view what = argv[1];
  double amount = std::atof(argv[2]);
  if (amount <= 0 || amount > 20000) return 2;
  if (what == "http") return http(amount > 30 ? 30 : amount);
  if (what == "dns") return dns(amount > 30 ? 30 : amount);
  if (what == "connect") return connects(amount > 30 ? 30 : amount);
  int connections = argc > 3 ? std::atoi(argv[3]) : 1;
  if (connections < 1 || connections > 64) return 2;
  if (what == "stream" || what == "download")
    return bulk(what == "download", amount > 30 ? 30 : amount, connections,
                argc > 4 ? argv[4] : taker);
  if (what == "serve") return serve(amount > 120 ? 120 : amount);
  if (what == "idle") return idle(static_cast<int>(amount));
  return 2;
}
