// What the egress gateway costs, each measure beside plain loopback in the same run.
//
//   network_bench CLIENT JSON_FILE
//
// CLIENT is network_bench_client; it runs inside the sandbox and, for comparison, here. Everything
// aims at documentation addresses or loopback. As root the program makes a network namespace, in
// which the relay's destination lives; as an ordinary user the relay is left out, and it says so.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/world/pack.h"

namespace {

using namespace gyges;
using Clock = std::chrono::steady_clock;
using nlohmann::json;

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", result.error().line().c_str());
  std::exit(1);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The plainest server: answers each request with the same page, and swallows what is no request.
void serve(int listener) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{EPOLLIN, {}};
  event.data.fd = listener;
  ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener, &event);
  const std::string page =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\ngood morning";
  std::vector<char> bytes(256U << 10U);
  for (;;) {
    epoll_event ready[64];
    int count = ::epoll_wait(epoll.get(), ready, 64, -1);
    for (int i = 0; i < count; ++i) {
      int fd = ready[i].data.fd;
      if (fd == listener) {
        event.data.fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        int on = 1;
        ::setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, event.data.fd, &event);
        continue;
      }
      ssize_t n = ::recv(fd, bytes.data(), bytes.size(), 0);
      if (n <= 0)
        ::close(fd);
      else if (bytes[0] == 'G')
        (void)!::send(fd, page.data(), page.size(), MSG_NOSIGNAL);
    }
  }
}

std::uint16_t start_server(const char* address) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  ::inet_pton(AF_INET, address, &here.sin_addr);
  socklen_t size = sizeof(here);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(fd, 128) != 0) return 0;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size);
  std::thread(serve, fd).detach();
  return ntohs(here.sin_port);
}

isolation::SandboxSpec spec_with(const json& section, const std::string& client) {
  isolation::SandboxSpec spec;
  spec.policy = must(isolation::load_policy("default"));
  spec.policy.filesystem.workspace = isolation::Filesystem::Workspace::none;
  spec.policy.network = must(network::network_policy_from_json(section, "bench"));
  isolation::SeedFile program;
  program.path = "/tmp/client";
  program.mode = 0755;
  program.content = client;
  spec.seed.push_back(std::move(program));
  return spec;
}

std::string read_to_end(int fd) {
  std::string text;
  char chunk[256];
  for (ssize_t n = 0; (n = ::read(fd, chunk, sizeof(chunk))) > 0;)
    text.append(chunk, static_cast<std::size_t>(n));
  return text;
}

class Inside {
 public:
  explicit Inside(const isolation::SandboxSpec& spec)
      : policy_(spec.policy), sandbox_(must(isolation::Sandbox::start(spec))) {}
  double run(const std::vector<std::string>& arguments) {
    Pipe pipe = must(make_pipe());
    isolation::Command command;
    command.argv = {"/tmp/client"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.environment = isolation::command_environment(policy_);
    command.directory = "/";
    command.standard_output = command.standard_error = pipe.write.get();
    auto id = must(sandbox_->spawn(command));
    pipe.write.reset();
    std::string text = read_to_end(pipe.read.get());
    (void)sandbox_->wait(id, Clock::now() + std::chrono::seconds(5));
    if (text.starts_with("failed")) std::fprintf(stderr, "%s", text.c_str());
    return std::atof(text.c_str());
  }

 private:
  isolation::Policy policy_;
  std::unique_ptr<isolation::Sandbox> sandbox_;
};

double run_here(const std::string& client, const std::string& arguments) {
  FILE* pipe = ::popen((client + " " + arguments).c_str(), "r");
  std::string text = read_to_end(::fileno(pipe));
  ::pclose(pipe);
  return std::atof(text.c_str());
}

double start_once(const isolation::SandboxSpec& spec) {
  auto begin = Clock::now();
  auto sandbox = must(isolation::Sandbox::start(spec));
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::string client_path = argv[1];
  std::string client = must(read_file(client_path));
  bool root = ::geteuid() == 0;
  if (root && (::unshare(CLONE_NEWNET) != 0 ||
               std::system("ip link set lo up && ip addr add 198.51.100.7/32 dev lo") != 0))
    root = false;
  std::uint16_t loopback = start_server("127.0.0.1");
  std::uint16_t relayed = root ? start_server("198.51.100.7") : 0;

  json internet = json::parse(R"({"sites": [{"host": "web.example", "addresses": ["192.0.2.80"],
      "latency_ms": {"median": 0},
      "pages": [{"path": "/hello", "status": 200, "text": "good morning"}]}]})");
  std::map<std::string, std::string> files;
  auto world = must(network::pack_world({internet, files, 1, std::time(nullptr), "Example"}));
  json rules = {{{"to", {"203.0.113.0/24"}}, {"action", "sink"}},
                {{"to", {"198.51.100.7"}}, {"action", "relay"}},
                {{"action", "simulate"}}};
  auto gateway = spec_with({{"mode", "gateway"}, {"rules", rules}}, client);
  gateway.packed_world = world.bytes;
  auto none = spec_with({{"mode", "none"}}, client);

  std::vector<double> without;
  std::vector<double> with;
  for (int i = 0; i < 21; ++i) {
    without.push_back(start_once(none));
    with.push_back(start_once(gateway));
  }
  json result = {{"start_none_ms", median(without)}, {"start_gateway_ms", median(with)}};

  Inside inside(gateway);
  std::string here = "127.0.0.1 " + std::to_string(loopback) + " ";
  result["connect_loopback_us"] = run_here(client_path, "connect " + here + "500");
  result["connect_sunk_us"] = inside.run({"connect", "203.0.113.5", "80", "500"});
  result["connect_simulated_us"] = inside.run({"connect", "192.0.2.80", "80", "500"});
  result["http_loopback_per_s"] = run_here(client_path, "http " + here + "20000");
  result["http_simulated_per_s"] = inside.run({"http", "192.0.2.80", "80", "10000"});
  result["dns_per_s"] = inside.run({"datagrams", "192.0.2.53", "53", "20000"});
  result["stream_loopback_mib_per_s"] = run_here(client_path, "stream " + here + "1024");
  result["stream_sunk_mib_per_s"] = inside.run({"stream", "203.0.113.5", "80", "512"});
  if (relayed != 0)
    result["stream_relayed_mib_per_s"] =
        inside.run({"stream", "198.51.100.7", std::to_string(relayed), "512"});
  else
    std::printf("relay: left out, its namespace is made as root\n");
  for (const auto& [name, value] : result.items())
    std::printf("%-28s %12.2f\n", name.c_str(), value.get<double>());
  std::ofstream(argv[2]) << result.dump(2) << "\n";
  return 0;
}
