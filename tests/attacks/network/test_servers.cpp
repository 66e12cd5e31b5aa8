#include "test_servers.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace gyges::isolation {
namespace {

bool bind_to(int fd, const char* address, std::uint16_t port) {
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(port);
  ::inet_pton(AF_INET, address, &here.sin_addr);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  return ::bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof(here)) == 0;
}

bool readable(int fd) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, 50) > 0;
}

}  // namespace

TcpServer::TcpServer(const char* address, std::uint16_t port, Answer answer)
    : answer_(std::move(answer)), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  bound_ = bind_to(fd_.get(), address, port) && ::listen(fd_.get(), 64) == 0;
  thread_ = std::thread([this] { serve(); });
}

TcpServer::~TcpServer() {
  stop_ = true;
  thread_.join();
}

std::string TcpServer::received() {
  std::scoped_lock lock(mutex_);
  return received_;
}

void TcpServer::serve() {
  while (!stop_) {
    if (!readable(fd_.get())) continue;
    UniqueFd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    ++accepted_;
    while (!stop_) {
      if (!readable(client.get())) continue;
      char bytes[65536];
      ssize_t n = ::recv(client.get(), bytes, sizeof(bytes), 0);
      if (n <= 0) break;
      std::string part(bytes, static_cast<std::size_t>(n));
      {
        std::scoped_lock lock(mutex_);
        received_ += part;
      }
      Reply reply = answer_(part);
      ssize_t sent = ::send(client.get(), reply.text.data(), reply.text.size(), MSG_NOSIGNAL);
      if (sent < 0 || reply.close) break;
    }
  }
}

DnsServer::DnsServer(const char* address, Addresses names)
    : names_(std::move(names)), fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  bound_ = bind_to(fd_.get(), address, 53);
  thread_ = std::thread([this] { serve(); });
}

DnsServer::~DnsServer() {
  stop_ = true;
  thread_.join();
}

std::vector<std::string> DnsServer::asked() {
  std::scoped_lock lock(mutex_);
  return asked_;
}

std::string DnsServer::answer(const std::string& query) {
  constexpr std::size_t header = 12;
  std::string name;
  std::size_t at = header;
  while (at < query.size() && query[at] != 0) {
    auto size = static_cast<std::size_t>(query[at]);
    if (!name.empty()) name += '.';
    name += query.substr(at + 1, size);
    at += size + 1;
  }
  if (query.size() < at + 5) return {};
  bool v4 = query[at + 1] == 0 && query[at + 2] == 1;
  std::string reply = query.substr(0, at + 5);
  reply[2] = static_cast<char>(0x81);
  reply[3] = static_cast<char>(0x80);
  for (std::size_t i = 6; i < header; ++i) reply[i] = 0;
  std::scoped_lock lock(mutex_);
  asked_.push_back(name);
  auto found = names_.find(name);
  if (found == names_.end()) {
    reply[3] = static_cast<char>(0x83);
    return reply;
  }
  if (!v4) return reply;
  std::size_t turn = std::min(turns_[name]++, found->second.size() - 1);
  in_addr address{};
  ::inet_pton(AF_INET, found->second[turn].c_str(), &address);
  reply[7] = 1;
  reply.append("\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04", 12);
  reply.append(reinterpret_cast<const char*>(&address), 4);
  return reply;
}

void DnsServer::serve() {
  while (!stop_) {
    if (!readable(fd_.get())) continue;
    char bytes[1500];
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    ssize_t n =
        ::recvfrom(fd_.get(), bytes, sizeof(bytes), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 12) continue;
    std::string reply = answer(std::string(bytes, static_cast<std::size_t>(n)));
    (void)!::sendto(fd_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from),
                    size);
  }
}

}  // namespace gyges::isolation
