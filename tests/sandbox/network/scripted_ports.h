// Ports that remember what a service did, and a clock that the test turns.
#pragma once

#include <string>
#include <vector>

#include "sandbox/network/service.h"

namespace gyges::network::testing {

class ScriptedPort : public StreamPort {
 public:
  std::string sent, unread;
  bool searched = false;  // what was left last
  std::vector<Flow> flows;
  bool paused = false, closed = false, was_reset = false;
  std::int64_t now = 1'000'000'000, wake = 0;
  std::size_t backlog = 0;  // that the client has not read

  void send(std::string_view bytes) override { sent += bytes; }
  [[nodiscard]] std::size_t unsent() const override { return backlog; }
  void pause(bool value) override { paused = value; }
  void close() override { closed = true; }
  void reset() override { was_reset = true; }
  void wake_at(std::int64_t time_ns) override { wake = time_ns; }
  [[nodiscard]] std::int64_t now_ns() const override { return now; }
  void record(Flow flow) override { flows.push_back(std::move(flow)); }
  void left(std::string_view bytes, bool is_searched) override {
    if (bytes.empty()) return;
    unread += bytes;
    searched = is_searched;
  }

  // Turns the clock to each time the service asked for, at most `times`.
  void run_timers(StreamService& service, int times = 100) {
    for (; wake != 0 && times > 0; --times) {
      now = std::max(now, wake);
      wake = 0;
      service.woken();
    }
  }
  std::string take() { return std::exchange(sent, {}); }
};

class ScriptedDatagramPort : public DatagramPort {
 public:
  std::vector<std::string> replies;
  std::vector<Flow> flows;
  std::int64_t delay = 0;
  bool deferred = false;

  void reply(std::string_view bytes, std::int64_t delay_ns) override {
    replies.emplace_back(bytes);
    delay = delay_ns;
  }
  std::function<void(std::string_view, Flow)> defer() override {
    deferred = true;
    return [this](std::string_view bytes, Flow flow) {
      replies.emplace_back(bytes);
      flows.push_back(std::move(flow));
    };
  }
  [[nodiscard]] std::int64_t now_ns() const override { return 0; }
  void record(Flow flow) override { flows.push_back(std::move(flow)); }
};

}  // namespace gyges::network::testing
