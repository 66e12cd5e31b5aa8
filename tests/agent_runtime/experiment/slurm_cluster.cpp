#include "tests/agent_runtime/experiment/slurm_cluster.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "agent_runtime/experiment/command_output.h"
#include "base/fd.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// One that was free a moment ago; whoever takes it in between costs another attempt.
int free_port(UniqueFd& held) {
  held = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bind(held.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  socklen_t size = sizeof address;
  getsockname(held.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

// Where PATH has it; empty: nowhere.
std::string path_of(const std::string& tool) {
  auto found = run_command({"sh", "-c", "command -v " + tool});
  if (!found || found->status != 0) return {};
  return found->out.substr(0, found->out.find('\n'));
}

}  // namespace

std::unique_ptr<SlurmCluster> SlurmCluster::start(std::size_t largest_array, std::string& reason) {
  if (geteuid() != 0) {
    reason = "slurmd runs jobs of others, which takes root";
    return nullptr;
  }
  for (const char* tool : {"munged", "slurmctld", "slurmd", "sbatch", "squeue"}) {
    if (!path_of(tool).empty()) continue;
    reason = std::string(tool) + " is not installed (slurmctld, slurmd, slurm-client, munge)";
    return nullptr;
  }
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::unique_ptr<SlurmCluster> cluster(new SlurmCluster());
    if (cluster->start_daemons(largest_array)) return cluster;
    reason = "the daemons did not get ready in a minute: ";
    for (const char* log : {"munged.out", "slurmctld.out", "slurmd.out"}) {
      auto text = read_file(cluster->directory_.path() / log);
      if (text) reason += text->substr(text->size() > 500 ? text->size() - 500 : 0);
    }
  }
  return nullptr;
}

bool SlurmCluster::start_daemons(std::size_t largest_array) {
  const fs::path& at = directory_.path();
  const std::string root = at.string();
  fs::permissions(at, fs::perms(0755));
  for (const char* name : {"munge", "state", "spool"}) fs::create_directory(at / name);
  fs::permissions(at / "munge", fs::perms(0700));
  {
    std::ifstream random("/dev/urandom", std::ios::binary);
    std::string key(64, '\0');
    random.read(key.data(), 64);
    std::ofstream(at / "munge" / "key", std::ios::binary) << key;
    fs::permissions(at / "munge" / "key", fs::perms(0400));
  }
  munged_ = std::make_unique<StartedCommand>(
      std::vector<std::string>{
          path_of("munged"), "--foreground", "--force", "--key-file=" + root + "/munge/key",
          "--socket=" + root + "/munge.sock", "--pid-file=" + root + "/munge/pid",
          "--log-file=" + root + "/munge/log", "--seed-file=" + root + "/munge/seed"},
      at / "munged.out");
  {
    UniqueFd held[2];
    int controller_port = free_port(held[0]);
    int node_port = free_port(held[1]);
    // The scheduler goes round once a second, and starts as many tasks as there are processors:
    // with two of them tests would wait most of their time. The tasks take next to none.
    std::ofstream(at / "slurm.conf")
        << "ClusterName=gyges\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort="
        << controller_port << "\nSlurmdPort=" << node_port
        << "\nAuthType=auth/munge\nAuthInfo=socket=" << root
        << "/munge.sock\nCredType=cred/munge\nSlurmUser=root\nSlurmdUser=root\nStateSaveLocation="
        << root << "/state\nSlurmdSpoolDir=" << root << "/spool\nSlurmctldPidFile=" << root
        << "/slurmctld.pid\nSlurmdPidFile=" << root << "/slurmd.pid\nSlurmctldLogFile=" << root
        << "/slurmctld.log\nSlurmdLogFile=" << root
        << "/slurmd.log\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n"
           "SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nSchedulerType=sched/builtin\n"
           "SchedulerParameters=batch_sched_delay=0,sched_interval=1\n"
           "MpiDefault=none\nReturnToService=2\nSwitchType=switch/none\n"
           "JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n"
           "SlurmdParameters=config_overrides\nKillWait=1\nMaxJobCount=20000\nMaxArraySize="
        << largest_array
        << "\nNodeName=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=100 State=UNKNOWN\n"
           "PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";
  }
  const std::string conf = root + "/slurm.conf";
  setenv("SLURM_CONF", conf.c_str(), 1);
  controller_ = std::make_unique<StartedCommand>(
      std::vector<std::string>{path_of("slurmctld"), "-D", "-f", conf}, at / "slurmctld.out");
  node_ = std::make_unique<StartedCommand>(
      std::vector<std::string>{path_of("slurmd"), "-D", "-N", "localhost", "-f", conf},
      at / "slurmd.out");
  const auto give_up = std::chrono::steady_clock::now() + 60s;
  while (std::chrono::steady_clock::now() < give_up) {
    if (is_ready()) return true;
    std::this_thread::sleep_for(100ms);
  }
  return false;
}

bool SlurmCluster::is_ready() const {
  auto asked = run_command({"sinfo", "--noheader", "--format=%T"}, 10s);
  return asked && asked->status == 0 && asked->out.rfind("idle", 0) == 0;
}

SlurmCluster::~SlurmCluster() {
  static_cast<void>(run_command({"scancel", "--quiet", "--me"}, 10s).has_value());
  // Steps hold the spool directory until they have ended.
  for (int i = 0; i < 100 && controller_; ++i) {
    auto left = run_command({"squeue", "--noheader", "--me"}, 10s);
    if (!left || left->status != 0 || left->out.empty()) break;
    std::this_thread::sleep_for(100ms);
  }
  for (auto* daemon : {&node_, &controller_, &munged_}) {
    if (!*daemon) continue;
    (*daemon)->signal(SIGTERM);
    (*daemon)->wait();
  }
  unsetenv("SLURM_CONF");
}

}  // namespace gyges::experiment
