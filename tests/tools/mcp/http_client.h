// A small HTTP client that can also misbehave: raw bytes in, one response out.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/fd.h"

#include "base/json.h"

namespace gyges::mcp {

struct HttpReply {
  int status = 0;                              // 0: no whole response came within 20 s
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // of a stream: its data lines, one a line
  [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
};

class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port);
  // False where the server closed.
  bool send(const std::string& bytes);
  HttpReply receive();
  // A POST of `body` to /mcp; `headers` replace the usual ones of the same name, empty ones are
  // left out.
  HttpReply post(const std::string& body, std::map<std::string, std::string> headers = {},
                 const std::string& target = "/mcp");
  HttpReply request(const std::string& method, const std::map<std::string, std::string>& headers,
                    const std::string& target = "/mcp");
  // Of an event stream: sends the request and reads the header alone; `body` empty: a GET.
  HttpReply open_stream(const std::map<std::string, std::string>& headers,
                        const std::string& body = {});
  // The next event of it that is no comment. Id and data are empty at its end, or after 20 s.
  struct StreamEvent {
    std::string id;
    std::string data;
  };
  StreamEvent next_event();
  // Whether the server closes within 20 s.
  bool closed();
  void close() { fd_.reset(); }

 private:
  bool fill();
  std::string take(std::size_t count);
  std::string take_line();
  HttpReply receive_header();
  std::string read_stream();
  UniqueFd fd_;
  std::string read_;
  std::uint16_t port_;
};

}  // namespace gyges::mcp
