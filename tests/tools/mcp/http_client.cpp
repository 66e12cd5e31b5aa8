#include "tests/tools/mcp/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

namespace gyges::mcp {

HttpClient::HttpClient(std::uint16_t port)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), port_(port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd_.reset();
}

bool HttpClient::send(const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    ssize_t n = ::send(fd_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

bool HttpClient::fill() {
  pollfd fd{fd_.get(), POLLIN, 0};
  char chunk[65536];
  if (::poll(&fd, 1, 20'000) <= 0) return false;
  ssize_t n = ::recv(fd_.get(), chunk, sizeof chunk, 0);
  if (n <= 0) return false;
  read_.append(chunk, static_cast<std::size_t>(n));
  return true;
}

bool HttpClient::closed() {
  while (fill()) {
  }
  pollfd fd{fd_.get(), POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

std::string HttpClient::take(std::size_t count) {
  while (read_.size() < count)
    if (!fill()) return {};
  std::string bytes = read_.substr(0, count);
  read_.erase(0, count);
  return bytes;
}

std::string HttpClient::take_line() {
  while (read_.find("\r\n") == std::string::npos)
    if (!fill()) return {};
  std::string line = read_.substr(0, read_.find("\r\n"));
  read_.erase(0, line.size() + 2);
  return line;
}

std::string HttpClient::read_stream() {
  std::string events;
  for (;;) {
    std::size_t size = std::strtoul(take_line().c_str(), nullptr, 16);
    std::string chunk = take(size + 2);
    if (size == 0 || chunk.empty()) break;
    events += chunk.substr(0, size);
  }
  std::string data;
  for (std::size_t at = events.find("data: "); at != std::string::npos;
       at = events.find("data: ", at + 1)) {
    std::size_t end = events.find('\n', at);
    data += events.substr(at + 6, end - at - 6) + "\n";
  }
  return data;
}

HttpReply HttpClient::open_stream(const std::map<std::string, std::string>& headers,
                                  const std::string& body) {
  std::string text = body.empty() ? "GET" : "POST";
  text += " /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/event-stream\r\n";
  if (!body.empty())
    text +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  send(text + "\r\n" + body);
  return receive_header();
}

HttpClient::StreamEvent HttpClient::next_event() {
  for (;;) {
    std::size_t size = std::strtoul(take_line().c_str(), nullptr, 16);
    std::string chunk = take(size + 2);
    if (size == 0 || chunk.empty()) return {};
    StreamEvent event;
    for (std::size_t at = 0, end = 0; at < size; at = end + 1) {
      end = std::min(chunk.find('\n', at), size);
      std::string line = chunk.substr(at, end - at);
      if (line.starts_with("id: ")) event.id = line.substr(4);
      if (line.starts_with("data: ")) event.data = line.substr(6);
    }
    if (!event.id.empty() || !event.data.empty()) return event;
  }
}

HttpReply HttpClient::receive() {
  HttpReply reply = receive_header();
  if (reply.headers.count("transfer-encoding") != 0)
    reply.body = read_stream();
  else if (auto length = reply.headers.find("content-length"); length != reply.headers.end())
    reply.body = take(std::stoul(length->second));
  return reply;
}

HttpReply HttpClient::receive_header() {
  HttpReply reply;
  std::string line = take_line();
  if (!line.starts_with("HTTP/1.1 ")) return reply;
  for (std::string header = take_line(); !header.empty(); header = take_line()) {
    std::size_t colon = header.find(':');
    std::string name = header.substr(0, colon);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    reply.headers[name] = header.substr(colon + 2);
  }
  reply.status = std::stoi(line.substr(9, 3));
  return reply;
}

HttpReply HttpClient::post(const std::string& body, std::map<std::string, std::string> headers,
                           const std::string& target) {
  headers.try_emplace("Content-Type", "application/json");
  headers.try_emplace("Content-Length", std::to_string(body.size()));
  std::string text = "POST " + target + " HTTP/1.1\r\n";
  headers.try_emplace("Host", "localhost:" + std::to_string(port_));
  headers.try_emplace("Accept", "application/json, text/event-stream");
  for (const auto& [name, value] : headers)
    if (!value.empty()) text += name + ": " + value + "\r\n";
  send(text + "\r\n" + body);
  return receive();
}

HttpReply HttpClient::request(const std::string& method,
                              const std::map<std::string, std::string>& headers,
                              const std::string& target) {
  std::string text = method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  send(text + "\r\n");
  return receive();
}

}  // namespace gyges::mcp
