// Servers on addresses that a test made local in a namespace of its own.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace gyges::isolation {

// Hands what each connection sends to `answer` and sends what that gives, until the client closes
// or the answer says so. One connection at a time.
class TcpServer {
 public:
  struct Reply {
    std::string text;
    bool close = false;
  };
  using Answer = std::function<Reply(const std::string& received)>;
  TcpServer(const char* address, std::uint16_t port, Answer answer);
  ~TcpServer();
  [[nodiscard]] bool bound() const { return bound_; }
  [[nodiscard]] int accepted() const { return accepted_; }
  // Everything that was received so far, on all connections.
  [[nodiscard]] std::string received();

 private:
  void serve();
  Answer answer_;
  UniqueFd fd_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> accepted_ = 0;
  std::mutex mutex_;
  std::string received_;
  bool bound_ = false;
  std::thread thread_;
};

// Answers questions for A with the next address of its name (the last one for ever), others with an
// empty answer, unknown names with NXDOMAIN.
class DnsServer {
 public:
  using Addresses = std::map<std::string, std::vector<std::string>>;
  DnsServer(const char* address, Addresses names);
  ~DnsServer();
  [[nodiscard]] bool bound() const { return bound_; }
  // Names that were asked for.
  [[nodiscard]] std::vector<std::string> asked();

 private:
  void serve();
  std::string answer(const std::string& query);
  Addresses names_;
  std::map<std::string, std::size_t> turns_;
  UniqueFd fd_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::vector<std::string> asked_;
  bool bound_ = false;
  std::thread thread_;
};

}  // namespace gyges::isolation
