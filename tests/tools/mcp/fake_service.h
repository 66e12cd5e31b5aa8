// A service without sandboxes, and a client that may misbehave, for tests of the transports.
#pragma once

#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/json.h"
#include "tools/mcp/service.h"

namespace gyges::mcp {

// Tools: echo (returns its arguments), wait (until cancelled), chatty (sends many notifications),
// end (the session is over), turn (one call at a time; waits until cancelled where it is told to
// hold), steps (a notification, then waits for go(), another, and the answer), asks (for two
// inputs, then returns them).
class FakeService : public Service {
 public:
  FakeService();
  [[nodiscard]] std::string capabilities(Revision) const override { return R"({"tools":{}})"; }
  [[nodiscard]] std::string instructions() const override { return "fake"; }
  [[nodiscard]] const std::vector<ToolEntry>& tools() const override { return tools_; }
  [[nodiscard]] std::string lane(const Request& request) const override;
  Result<std::unique_ptr<Session>> open(const ClientInfo& client) override;

  // Lets all calls of `steps` go on.
  void go() {
    std::uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(gate.get(), &one, sizeof one);
  }

  UniqueFd gate;
  std::atomic<int> opened = 0;
  std::atomic<int> closed = 0;
  std::atomic<int> waiting = 0;    // calls of `wait` that have begun
  std::atomic<int> cancelled = 0;  // ... and were cancelled

 private:
  std::vector<ToolEntry> tools_;
};

std::string initialize_text(const std::string& version = "2025-11-25");
std::string call_text(const nlohmann::json& id, const std::string& tool,
                      const nlohmann::json& arguments = nlohmann::json::object());

// Waits until `condition` holds, at most 20 s; whether it came to hold.
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    ::usleep(10'000);
  }
  return condition();
}

}  // namespace gyges::mcp
