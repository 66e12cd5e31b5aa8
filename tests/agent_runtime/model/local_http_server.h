// An HTTP server on 127.0.0.1 for tests: answers one request after the other from a list, and keeps
// what it was sent. Started and ended with the object.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace gyges::testing {

struct CannedReply {
  std::string status = "200 OK";
  std::string body;
  std::string headers;                 // further header lines, each with \r\n
  std::chrono::milliseconds delay{0};  // before the reply
  bool hang_up = false;                // close without a reply
  std::size_t padding = 0;             // bytes of spaces sent after the body
};

class LocalHttpServer {
 public:
  explicit LocalHttpServer(std::vector<CannedReply> replies);
  ~LocalHttpServer();
  LocalHttpServer(const LocalHttpServer&) = delete;
  LocalHttpServer& operator=(const LocalHttpServer&) = delete;

  [[nodiscard]] std::string base_url() const;         // http://127.0.0.1:PORT/v1
  [[nodiscard]] std::vector<std::string> requests();  // head and body of each

 private:
  void serve();
  void answer(int connection, const CannedReply& reply);

  std::vector<CannedReply> replies_;
  int listener_ = -1;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace gyges::testing
