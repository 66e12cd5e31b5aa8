#include "tests/tools/mcp/fake_service.h"

#include <poll.h>
#include <sys/eventfd.h>

namespace gyges::mcp {
namespace {

using nlohmann::json;

class FakeSession final : public Session {
 public:
  explicit FakeSession(FakeService& service) : service_(service) { ++service_.opened; }
  ~FakeSession() override { ++service_.closed; }
  [[nodiscard]] bool alive() const override { return alive_; }

  Answer call(const Request& request, Link& link) override {
    auto name = request.params->at("name").get<std::string>();
    if (name == "wait") return wait(link);
    if (name == "chatty")
      for (int i = 0; i < 20'000; ++i)
        link.notify("notifications/message",
                    R"({"level":"info","data":")" + std::string(1000, 'x') + R"("})");
    if (name == "asks") {
      auto given = request.params->find("inputResponses");
      if (given == request.params->end())
        return {R"({"inputRequests":{"a":{"method":"x"},"b":{"method":"y"}},"requestState":"s"})",
                std::nullopt, true};
      return {json_text({{"content", json::array()},
                         {"given", *given},
                         {"state", request.params->at("requestState")}}),
              std::nullopt, false};
    }
    if (name == "end") alive_ = false;
    json arguments = request.params->value("arguments", json::object());
    if (name == "turn" && arguments.value("hold", false)) return wait(link);
    if (name == "steps") {
      link.notify("notifications/message", R"({"level":"info","data":"one"})");
      pollfd fd{service_.gate.get(), POLLIN, 0};
      ::poll(&fd, 1, 30'000);
      link.notify("notifications/message", R"({"level":"info","data":"two"})");
    }
    return {json_text({{"content", json::array()}, {"echo", arguments}}), std::nullopt, false};
  }

 private:
  Answer wait(Link& link) {
    ++service_.waiting;
    pollfd fd{link.cancel_fd(), POLLIN, 0};
    if (::poll(&fd, 1, 30'000) > 0) ++service_.cancelled;
    return {R"({"content":[]})", std::nullopt, false};
  }

  FakeService& service_;
  std::atomic<bool> alive_ = true;
};

}  // namespace

FakeService::FakeService() : gate(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  for (const char* name : {"echo", "wait", "chatty", "end", "turn", "steps", "asks"})
    tools_.push_back(
        {name, std::string(R"({"name":")") + name + R"(","inputSchema":{"type":"object"}})", {}});
}

Result<std::unique_ptr<Session>> FakeService::open(const ClientInfo&) {
  return std::make_unique<FakeSession>(*this);
}

std::string FakeService::lane(const Request& request) const {
  return request.params->at("name") == "turn" ? "turn" : "";
}

std::string initialize_text(const std::string& version) {
  return json{{"jsonrpc", "2.0"},
              {"id", 0},
              {"method", "initialize"},
              {"params",
               {{"protocolVersion", version},
                {"capabilities", json::object()},
                {"clientInfo", {{"name", "test"}, {"version", "1"}}}}}}
      .dump();
}

std::string call_text(const json& id, const std::string& tool, const json& arguments) {
  return json{{"jsonrpc", "2.0"},
              {"id", id},
              {"method", "tools/call"},
              {"params", {{"name", tool}, {"arguments", arguments}}}}
      .dump();
}

}  // namespace gyges::mcp
