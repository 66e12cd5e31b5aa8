#include "gateway_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>

#include "sandbox/network/network_policy.h"
#include "sandbox/network/world/pack.h"

extern "C" const char gyges_network_attempts_begin[];
extern "C" const char gyges_network_attempts_end[];

namespace gyges::isolation {

SandboxSpec GatewayTest::spec_with(const nlohmann::json& section) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  auto policy = network::network_policy_from_json(section, "test");
  if (!policy) {
    ADD_FAILURE() << policy.error().line();
    return spec;
  }
  spec.policy.network = *policy;
  SeedFile program;
  program.path = "/tmp/attempts";
  program.mode = 0755;
  program.content = {gyges_network_attempts_begin, gyges_network_attempts_end};
  spec.seed.push_back(std::move(program));
  spec.flows = [this](network::Flow flow) -> Status {
    std::scoped_lock lock(mutex_);
    flows_.push_back(std::move(flow));
    return ok();
  };
  return spec;
}

void GatewayTest::start_with(const nlohmann::json& section, std::string packed_world,
                             std::vector<SeedFile> seed) {
  SandboxSpec spec = spec_with(section);
  spec.packed_world = std::move(packed_world);
  for (SeedFile& file : seed) spec.seed.push_back(std::move(file));
  start(spec);
}

std::vector<network::Flow> GatewayTest::flows() {
  std::scoped_lock lock(mutex_);
  return flows_;
}

std::vector<network::Flow> GatewayTest::flows_to(const std::string& address, std::uint16_t port) {
  std::vector<network::Flow> found;
  for (network::Flow& flow : flows())
    if (network::to_string(flow.destination.address) == address && flow.destination.port == port)
      found.push_back(std::move(flow));
  return found;
}

pid_t GatewayTest::gateway_pid() {
  std::ifstream children("/proc/self/task/" + std::to_string(::gettid()) + "/children");
  for (pid_t pid = 0; children >> pid;) {
    std::ifstream line("/proc/" + std::to_string(pid) + "/cmdline");
    std::string name;
    std::getline(line, name, '\0');
    if (name == "gyges-gateway") return pid;
  }
  return -1;
}

std::uint64_t GatewayTest::gateway_peak_kib() {
  std::ifstream status("/proc/" + std::to_string(gateway_pid()) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  ADD_FAILURE() << "there is no gateway";
  return 0;
}

void SimulatedTest::start_world(const nlohmann::json& rules, const nlohmann::json& canaries) {
  nlohmann::json internet = nlohmann::json::parse(R"({
    "sites": [{"host": "web.example", "addresses": ["192.0.2.80"],
               "pages": [{"path": "/hello", "methods": ["GET", "POST"], "status": 200,
                          "text": "good morning"}]},
              {"host": "model.example", "addresses": ["192.0.2.90"], "handed_out": true},
              {"host": "mail.example", "addresses": ["192.0.2.25"]}],
    "services": [{"protocol": "smtp", "host": "mail.example", "mailboxes": ["*@web.example"]}]})");
  if (!canaries.empty()) internet["canaries"] = canaries;
  std::map<std::string, std::string> files;
  auto packed = network::pack_world({internet, files, 1, std::time(nullptr), "Example"});
  ASSERT_TRUE(packed) << packed.error().line();
  SeedFile resolver;
  resolver.path = "/etc/resolv.conf";
  resolver.content = "nameserver 192.0.2.53\n";
  SeedFile authority;
  authority.path = "/tmp/authority.pem";
  authority.content = packed->certificate_pem;
  nlohmann::json all = rules;
  all.push_back({{"name", "world"}, {"action", "simulate"}});
  SandboxSpec spec = spec_with({{"mode", "gateway"}, {"rules", all}});
  spec.packed_world = packed->bytes;
  spec.seed.push_back(resolver);
  spec.seed.push_back(authority);
  adapt_(spec);
  start(spec);
}

void OwnNetwork::enter() {
  home_.reset(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  files_.reset(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
  ASSERT_EQ(std::system("ip link set lo up && ip addr add 198.51.100.7/32 dev lo && "
                        "ip addr add 198.51.100.53/32 dev lo && "
                        "ip addr add 10.9.9.9/32 dev lo && mount --make-rprivate / && "
                        "mount -t tmpfs none /mnt && "
                        "echo 'nameserver 198.51.100.53' > /mnt/resolv.conf && "
                        "mount --bind /mnt/resolv.conf $(readlink -f /etc/resolv.conf)"),
            0);
}

OwnNetwork::~OwnNetwork() {
  if (!home_) return;
  EXPECT_EQ(::setns(home_.get(), CLONE_NEWNET), 0);
  EXPECT_EQ(::setns(files_.get(), CLONE_NEWNS), 0);
}

}  // namespace gyges::isolation
