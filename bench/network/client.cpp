// The sandbox's side of the network benchmark, static so that it runs in every sandbox.
//
//   client connect ADDRESS PORT COUNT     median microseconds of a connect
//   client http ADDRESS PORT COUNT        requests a second over 8 kept connections
//   client stream ADDRESS PORT MEBIBYTES  MiB a second, sent and acknowledged by the other end's
//   close client datagrams ADDRESS PORT COUNT   DNS queries a second, 32 on their way at any time
//
// Prints one number, or "failed: reason".
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) {
  std::printf("failed: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

sockaddr_in target(const char* address, int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, address, &to.sin_addr) != 1) fail("read address");
  return to;
}

int connected(const sockaddr_in& to, int type = SOCK_STREAM) {
  int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) fail("connect");
  int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double connects(const sockaddr_in& to, int count) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    auto begin = Clock::now();
    int fd = connected(to);
    times.push_back(seconds_since(begin) * 1e6);
    ::close(fd);
  }
  std::nth_element(times.begin(), times.begin() + count / 2, times.end());
  return times[static_cast<std::size_t>(count) / 2];
}

// Each answer ends with the bytes that the page ends with.
double requests(const sockaddr_in& to, int count) {
  const std::string request = "GET /hello HTTP/1.1\r\nHost: web.example\r\n\r\n";
  const std::string last = "good morning";
  constexpr int width = 8;
  std::vector<pollfd> polls;
  std::vector<std::string> answers(width);
  for (int i = 0; i < width; ++i) polls.push_back({connected(to), POLLIN, 0});
  auto ask = [&](std::size_t i) {
    if (::send(polls[i].fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) fail("send");
  };
  auto begin = Clock::now();
  for (std::size_t i = 0; i < width; ++i) ask(i);
  int done = 0;
  while (done < count) {
    if (::poll(polls.data(), polls.size(), 5000) <= 0) fail("wait");
    for (std::size_t i = 0; i < width; ++i) {
      if (polls[i].revents == 0) continue;
      char bytes[4096];
      ssize_t n = ::recv(polls[i].fd, bytes, sizeof(bytes), 0);
      if (n <= 0) fail("receive");
      answers[i].append(bytes, static_cast<std::size_t>(n));
      if (!answers[i].ends_with(last)) continue;
      answers[i].clear();
      ++done;
      ask(i);
    }
  }
  return done / seconds_since(begin);
}

double stream(const sockaddr_in& to, int mebibytes) {
  int fd = connected(to);
  std::string block(1U << 20U, 's');
  auto begin = Clock::now();
  for (int i = 0; i < mebibytes; ++i)
    for (std::size_t sent = 0; sent < block.size();) {
      ssize_t n = ::send(fd, block.data() + sent, block.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) fail("send");
      sent += static_cast<std::size_t>(n);
    }
  ::shutdown(fd, SHUT_WR);
  char byte = 0;
  while (::recv(fd, &byte, 1, 0) > 0) {
  }
  return mebibytes / seconds_since(begin);
}

double datagrams(const sockaddr_in& to, int count) {
  int fd = connected(to, SOCK_DGRAM);
  std::string query(
      "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x07"
      "example\x00\x00\x01\x00\x01",
      29);
  int sent = 0;
  int received = 0;
  auto begin = Clock::now();
  for (; sent < 32; ++sent) (void)!::send(fd, query.data(), query.size(), 0);
  char answer[2048];
  while (received < count) {
    pollfd wait{fd, POLLIN, 0};
    if (::poll(&wait, 1, 2000) <= 0) fail("wait");
    if (::recv(fd, answer, sizeof(answer), 0) < 0) fail("receive");
    ++received;
    (void)!::send(fd, query.data(), query.size(), 0);
  }
  return received / seconds_since(begin);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  sockaddr_in to = target(argv[2], std::atoi(argv[3]));
  int count = std::atoi(argv[4]);
  std::string what = argv[1];
  double result = what == "connect"  ? connects(to, count)
                  : what == "http"   ? requests(to, count)
                  : what == "stream" ? stream(to, count)
                                     : datagrams(to, count);
  std::printf("%.3f\n", result);
  return 0;
}
