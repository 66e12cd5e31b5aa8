#include "tests/agent_runtime/model/local_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace gyges::testing {
namespace {

// Head and body of one request, by its Content-Length.
std::string read_request(int connection) {
  std::string text;
  std::array<char, 65536> chunk{};
  for (;;) {
    auto head = text.find("\r\n\r\n");
    if (head != std::string::npos) {
      std::size_t length = 0;
      if (auto at = text.find("Content-Length: "); at != std::string::npos && at < head)
        length = std::strtoul(text.c_str() + at + 16, nullptr, 10);
      if (text.size() >= head + 4 + length) return text;
    }
    ssize_t n = ::recv(connection, chunk.data(), chunk.size(), 0);
    if (n <= 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

void send_text(int connection, std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

LocalHttpServer::LocalHttpServer(std::vector<CannedReply> replies) : replies_(std::move(replies)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

LocalHttpServer::~LocalHttpServer() {
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  ::close(listener_);
}

std::string LocalHttpServer::base_url() const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/v1";
}

std::vector<std::string> LocalHttpServer::requests() {
  std::scoped_lock lock(mutex_);
  return requests_;
}

void LocalHttpServer::serve() {
  std::size_t next = 0;
  for (;;) {
    int connection = ::accept(listener_, nullptr, nullptr);
    if (connection < 0) return;
    std::string request = read_request(connection);
    {
      std::scoped_lock lock(mutex_);
      requests_.push_back(request);
    }
    if (next < replies_.size()) answer(connection, replies_[next++]);
    ::close(connection);
  }
}

void LocalHttpServer::answer(int connection, const CannedReply& reply) {
  if (reply.delay.count() > 0) {
    // Ends early when the client gives up.
    pollfd closed{connection, POLLRDHUP, 0};
    ::poll(&closed, 1, static_cast<int>(reply.delay.count()));
  }
  if (reply.hang_up) return;
  send_text(connection, "HTTP/1.1 " + reply.status + "\r\nContent-Type: application/json\r\n" +
                            reply.headers + "Connection: close\r\nContent-Length: " +
                            std::to_string(reply.body.size() + reply.padding) + "\r\n\r\n" +
                            reply.body);
  send_text(connection, std::string(reply.padding, ' '));
}

}  // namespace gyges::testing
