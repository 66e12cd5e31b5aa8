// What wears a gateway down: many connections, large and endless things. Bounded in count and size;
// aims at documentation addresses only.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "attempt_sockets.h"

namespace attempts {
namespace {

constexpr int web = 80;
const std::string good = "GET /hello HTTP/1.1\r\nHost: web.example\r\n\r\n";

void row(const char* name, const std::string& outcome) {
  std::printf("%s %s\n", name, outcome.c_str());
  std::fflush(stdout);
}

bool send_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    ssize_t n = ::send(fd, bytes, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN && within(fd, POLLOUT, 20000) == "worked") continue;
    if (n <= 0) return false;
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

// The answer's first line, within five seconds.
std::string ask(const char* text, const std::string& request) {
  int fd = -1;
  std::string result = open_tcp(text, web, fd);
  if (result == "worked") {
    ::fcntl(fd, F_SETFL, 0);
    for (std::size_t sent = 0; sent < request.size();) {
      ssize_t n = ::send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;  // it may have answered and closed already
      sent += static_cast<std::size_t>(n);
    }
    result = within(fd, POLLIN, 5000);
    char answer[64] = {};
    if (result == "worked") {
      ssize_t n = ::recv(fd, answer, sizeof(answer) - 1, 0);
      result = n > 12 ? std::string(answer + 9, 3) : n < 0 ? word(errno) : "no answer";
    }
  }
  if (fd >= 0) ::close(fd);
  return result;
}

// A server that closes while more comes resets the connection, and the answer may be lost with it.
std::string turned_away(const std::string& answer) {
  return answer == "414" || answer == "431" || answer == "ECONNRESET" || answer == "EPIPE"
             ? "turned_away"
             : answer;
}

void load(const char* text, int count) {
  row("control", ask(text, good));
  // A head that goes on and on, on many connections, which stay.
  std::vector<int> slow;
  for (int i = 0; i < count; ++i) {
    int fd = -1;
    if (open_tcp(text, web, fd) != "worked") break;
    (void)!::send(fd, good.data(), 30, MSG_NOSIGNAL);
    slow.push_back(fd);
  }
  for (int fd : slow) (void)!::send(fd, "X", 1, MSG_NOSIGNAL);
  row("slow_heads", slow.size() == static_cast<std::size_t>(count) ? ask(text, good) : "refused");
  for (int fd : slow) ::close(fd);
  // Connections that are given up before they are there.
  Address to = address(text, 80);
  for (int i = 0; i < count; ++i) {
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    linger now{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    (void)::connect(fd, reinterpret_cast<sockaddr*>(&to.storage), to.length);
    ::close(fd);
  }
  row("half_open", ask(text, good));
  std::string head = "GET /hello HTTP/1.1\r\nHost: web.example\r\n";
  row("long_head", turned_away(ask(text, head + "X: " + std::string(1U << 20U, 'a') + "\r\n\r\n")));
  std::string fields;
  for (int i = 0; i < 2000; ++i) fields += "A: b\r\n";
  row("many_fields", turned_away(ask(text, head + fields + "\r\n")));
  row("endless_line", turned_away(ask(text, std::string(1U << 20U, 'G'))));
  std::string garbage;
  unsigned state = 1;
  for (int i = 0; i < 65536; ++i)
    garbage += static_cast<char>((state = state * 1103515245U + 12345U) >> 16U);
  for (int i = 0; i < 50; ++i) {
    int fd = -1;
    if (open_tcp(text, 443, fd) != "worked") break;
    // As it is, and behind the beginning of a handshake record.
    std::string bytes = i % 2 == 0 ? garbage : "\x16\x03\x01\x40" + garbage.substr(i * 100U);
    (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::close(fd);
  }
  row("tls_garbage", ask(text, good));
}

// One connection after the other, each with a request and its answer, to the server's end.
std::string many(const char* text, int count) {
  const std::string request =
      "GET /hello HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";
  for (int i = 0; i < count; ++i) {
    int fd = -1;
    std::string result = open_tcp(text, web, fd);
    std::string answer;
    if (result == "worked" && send_all(fd, request.data(), request.size())) {
      char bytes[2048];
      while ((result = within(fd, POLLIN, 5000)) == "worked") {
        ssize_t n = ::recv(fd, bytes, sizeof(bytes), 0);
        if (n <= 0) break;
        answer.append(bytes, static_cast<std::size_t>(n));
      }
      if (answer.find("200 OK") == std::string::npos) result = "no answer";
    }
    if (fd >= 0) ::close(fd);
    if (result != "worked") return result + " at " + std::to_string(i);
  }
  return "worked";
}

// Answer to a body in chunks of a byte, each with an extension of so many bytes; the token is in
// the last one.
std::string extensions(const char* text, int chunks, std::size_t bytes, const std::string& token) {
  int fd = -1;
  std::string result = open_tcp(text, web, fd);
  const std::string head =
      "POST /hello HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  if (result == "worked" && !send_all(fd, head.data(), head.size())) result = word(errno);
  for (int i = 0; i < chunks && result == "worked"; ++i) {
    const bool last = i + 1 == chunks;
    std::string chunk = "1;x=" + std::string(bytes, 'e') + (last ? token : "") + "\r\nb\r\n";
    if (last) chunk += "0\r\n\r\n";
    // A refusal may close while the rest is on its way.
    if (!send_all(fd, chunk.data(), chunk.size())) break;
  }
  if (result == "worked") result = within(fd, POLLIN, 20000);
  char answer[64] = {};
  if (result == "worked")
    result =
        ::recv(fd, answer, sizeof(answer) - 1, 0) > 12 ? std::string(answer + 9, 3) : "nothing";
  ::close(fd);
  return result;
}

// Connections that are open at one time, each with `bytes` sent; then whether the first, the last
// and one in a hundred between them still take more.
std::string hold(const char* text, int port, int count, std::size_t bytes) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::string part = port == web ? "POST /hello HTTP/1.1\r\nHost: web.example\r\n"
                                         "Content-Length: 100000000\r\n\r\n"
                                       : "";
  std::string block = part + std::string(bytes, 'h');
  std::vector<int> held;
  for (int i = 0; i < count; ++i) {
    int fd = -1;
    std::string result = open_tcp(text, port, fd);
    if (result != "worked") return result + " at " + std::to_string(i);
    if (!send_all(fd, block.data(), block.size())) return word(errno) + " at " + std::to_string(i);
    held.push_back(fd);
  }
  for (std::size_t i = 0; i < held.size(); i += i + 100 < held.size() ? 100 : 1)
    if (!send_all(held[i], block.data(), 1)) return "lost " + std::to_string(i);
  ::sleep(1);  // what the gateway holds shows in its memory
  return "worked";
}

std::string body(const char* text, int port, std::size_t bytes) {
  int fd = -1;
  std::string result = open_tcp(text, port, fd);
  if (result != "worked") return result;
  if (port == web) {
    std::string head =
        "POST /hello HTTP/1.1\r\nHost: web.example\r\nContent-Length: " + std::to_string(bytes) +
        "\r\n\r\n";
    if (!send_all(fd, head.data(), head.size())) return word(errno);
  }
  std::string block(1U << 20U, 'b');
  for (std::size_t sent = 0; sent < bytes; sent += block.size())
    if (!send_all(fd, block.data(), std::min(block.size(), bytes - sent))) return word(errno);
  ::shutdown(fd, SHUT_WR);
  std::string answer;
  std::size_t received = 0;
  char part[65536];
  while ((result = within(fd, POLLIN, 20000)) == "worked") {
    ssize_t n = ::recv(fd, part, sizeof(part), 0);
    if (n <= 0) break;
    received += static_cast<std::size_t>(n);
    if (answer.size() < 12) answer.append(part, static_cast<std::size_t>(n));
  }
  ::close(fd);
  if (port == web) return answer.substr(0, 12) == "HTTP/1.1 200" ? "worked" : "answer " + answer;
  return result == "worked" ? "received " + std::to_string(received) : result;
}

// The answer to a file's content, sent as a request's body.
std::string post(const char* text, const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), {}};
  return ask(text, "POST /hello HTTP/1.1\r\nHost: web.example\r\nContent-Length: " +
                       std::to_string(content.size()) + "\r\n\r\n" + content);
}

std::string datagram(int fd, const Address& to, std::size_t size) {
  std::string bytes(size, 'd');
  return ::sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to.storage),
                  to.length) < 0
             ? word(errno)
             : "sent";
}

// Datagrams up to the largest there are. On loopback they arrive: the sandbox can make them.
void datagrams(const char* text, int port) {
  const int family = std::strchr(text, ':') == nullptr ? AF_INET : AF_INET6;
  int own = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  Address here = address(family == AF_INET ? "127.0.0.1" : "::1", 4000 + port);
  std::string loopback = word(EADDRINUSE);
  int fd = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  constexpr std::size_t largest = 65000;
  if (::bind(own, reinterpret_cast<sockaddr*>(&here.storage), here.length) == 0) {
    loopback = datagram(fd, here, largest);
    std::string bytes(largest + 1, '\0');
    if (loopback == "sent" && within(own, POLLIN, 5000) == "worked")
      loopback = ::recv(own, bytes.data(), bytes.size(), 0) == largest ? "worked" : "cut";
  }
  row("loopback", loopback);
  Address to = address(text, port);
  row("small", datagram(fd, to, 1200));
  row("large", datagram(fd, to, 8000));
  row("largest", datagram(fd, to, largest));
  row("after", datagram(fd, to, 1200));
}

// Attempts at `count` different ports of many addresses, by both protocols, one datagram or one
// connect each.
std::string spray(int count) {
  for (int i = 0; i < count; ++i) {
    std::string text = "192.0.2." + std::to_string(i % 200 + 1);
    Address to = address(text.c_str(), 1000 + i / 200);
    int udp = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)datagram(udp, to, 32);
    ::close(udp);
    int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)::connect(tcp, reinterpret_cast<sockaddr*>(&to.storage), to.length);
    ::close(tcp);
  }
  return "worked";
}

}  // namespace

bool wear_down(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[1] : "";
  auto number = [&](int index, int most) {
    return argc > index ? std::clamp(std::atoi(argv[index]), 0, most) : 0;
  };
  if (what == "load")
    load(argv[2], number(3, 50000));
  else if (what == "many")
    row("many", many(argv[2], number(3, 200000)));
  else if (what == "hold")
    row("hold", hold(argv[2], number(3, 65535), number(4, 20000),
                     static_cast<std::size_t>(number(5, 1 << 20))));
  else if (what == "body")
    row("body", body(argv[2], number(3, 65535), static_cast<std::size_t>(number(4, 4096)) << 20U));
  else if (what == "extensions" && argc > 5)
    row("extensions", extensions(argv[2], number(3, 100000),
                                 static_cast<std::size_t>(number(4, 100000)), argv[5]));
  else if (what == "post" && argc > 3)
    row("post", post(argv[2], argv[3]));
  else if (what == "datagrams")
    datagrams(argv[2], number(3, 65535));
  else if (what == "spray")
    row("spray", spray(number(2, 200000)));
  else
    return false;
  return true;
}

}  // namespace attempts
