// Latency and throughput of tools/call of an MCP server over HTTP.
//
//   mcp_bench PORT PATH TOOL ARGUMENTS LABEL [SECONDS]
//
// First one session, one call after the other; then as many sessions as there are processors, two
// for each. Prints one line and one JSON object.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/json.h"
#include "tests/tools/mcp/http_client.h"

namespace {

using gyges::mcp::HttpClient;
using gyges::mcp::HttpReply;
using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Headers = std::map<std::string, std::string>;

struct Target {
  std::uint16_t port = 0;
  std::string path;
  std::string params;  // of a call, JSON text
};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "mcp_bench: %s\n", why.c_str());
  std::exit(1);
}

Headers begin(HttpClient& client, const Target& target) {
  std::string initialize = json{{"jsonrpc", "2.0"},
                                {"id", 0},
                                {"method", "initialize"},
                                {"params",
                                 {{"protocolVersion", "2025-11-25"},
                                  {"capabilities", json::object()},
                                  {"clientInfo", {{"name", "bench"}, {"version", "1"}}}}}}
                               .dump();
  HttpReply reply = client.post(initialize, {}, target.path);
  if (reply.status != 200) give_up("initialize: HTTP status " + std::to_string(reply.status));
  Headers headers{{"MCP-Protocol-Version", "2025-11-25"},
                  {"Mcp-Session-Id", reply.headers["mcp-session-id"]}};
  client.post(R"({"jsonrpc":"2.0","method":"notifications/initialized"})", headers, target.path);
  return headers;
}

void call(HttpClient& client, const Target& target, const Headers& headers) {
  thread_local int id = 0;
  std::string text = R"({"jsonrpc":"2.0","id":)" + std::to_string(++id) +
                     R"(,"method":"tools/call","params":)" + target.params + "}";
  HttpReply reply = client.post(text, headers, target.path);
  json answer = reply.json();
  if (reply.status != 200 || !answer.contains("result") ||
      answer.at("result").value("isError", false))
    give_up("call: HTTP status " + std::to_string(reply.status) + ": " + reply.body);
}

std::vector<double> in_turn(const Target& target, double seconds) {
  HttpClient client(target.port);
  Headers headers = begin(client, target);
  for (int i = 0; i < 20; ++i) call(client, target, headers);
  std::vector<double> took;
  auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    auto start = Clock::now();
    call(client, target, headers);
    took.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  client.request("DELETE", headers, target.path);
  std::sort(took.begin(), took.end());
  return took;
}

double at_once(const Target& target, double seconds, unsigned clients) {
  std::atomic<std::uint64_t> calls = 0;
  std::vector<std::thread> threads;
  auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (unsigned i = 0; i < clients; ++i)
    threads.emplace_back([&] {
      HttpClient client(target.port);
      Headers headers = begin(client, target);
      while (Clock::now() < end) {
        call(client, target, headers);
        ++calls;
      }
      client.request("DELETE", headers, target.path);
    });
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(calls) / seconds;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) give_up("usage: mcp_bench PORT PATH TOOL ARGUMENTS LABEL [SECONDS]");
  Target target;
  target.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  target.path = argv[2];
  json arguments = json::parse(argv[4], nullptr, false);
  if (!arguments.is_object()) give_up("the arguments are no JSON object");
  target.params = json{{"name", argv[3]}, {"arguments", arguments}}.dump();
  double seconds = argc > 6 ? std::atof(argv[6]) : 5;
  std::vector<double> took = in_turn(target, seconds);
  unsigned clients = 2 * std::max(1U, std::thread::hardware_concurrency());
  double rate = at_once(target, seconds, clients);
  double p50 = took[took.size() / 2];
  double p99 = took[took.size() * 99 / 100];
  std::printf("%-28s p50 %7.3f ms   p99 %7.3f ms   %8.0f calls/s with %u sessions\n", argv[5], p50,
              p99, rate, clients);
  std::printf("%s\n", json{{"label", argv[5]},
                           {"p50_ms", p50},
                           {"p99_ms", p99},
                           {"calls_per_second", rate},
                           {"sessions", clients}}
                          .dump()
                          .c_str());
}
