// What a Sandbox owns; for the sources of Sandbox alone.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sandbox/isolation/cgroup.h"
#include "sandbox/isolation/control.h"
#include "sandbox/isolation/disguise.h"
#include "sandbox/isolation/emulator.h"
#include "sandbox/isolation/host_facts.h"
#include "sandbox/isolation/launch.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/isolation/seed.h"
#include "sandbox/network/gateway_process.h"

namespace gyges::isolation {

// Long, because hundreds of sandboxes may be starting at once on a few processors.
inline constexpr auto setup_time = std::chrono::seconds(120);

// What failed in pid 1 itself, rather than in a step of the plan.
std::optional<Error> failure_of_init(const init::Reply& reply);

struct Sandbox::State {
  const SandboxSpec* spec = nullptr;  // during start only
  Policy policy;
  HostFacts host;
  Plan plan;
  recorder::Session* session = nullptr;
  std::unique_ptr<network::GatewayProcess> gateway;  // null without network
  network::GatewaySockets gateway_sockets;           // during start only
  InitProcess process;
  std::vector<std::string> filters;  // of a prepared sandbox, until it begins
  UniqueFd null;                     // /dev/null, once a command needed it
  UniqueFd scratch;
  UniqueFd terminal;  // its master
  // As the policy's cues leave it; during start only, and then never null.
  std::shared_ptr<const Disguise> disguise;
  std::shared_ptr<SharedUse> own_use = std::make_shared<SharedUse>();
  std::unique_ptr<DisguiseFiles> disguise_files;
  std::vector<UniqueFd> bus_sockets;   // during start only
  std::unique_ptr<BusDoor> bus_door;   // null: nothing answers for a system bus
  UniqueFd shared_tree_held;           // see SharedTree
  std::unique_ptr<Emulator> emulator;  // null: no system call is emulated
  std::optional<Cgroup> cgroup;
  init::CgroupSettings cgroup_settings;
  Enforcement enforcement;
  // Held by whatever starts commands or waits for them: of the control socket's messages and of all
  // from here to `next_id`.
  mutable std::mutex mutex;
  std::vector<LimitHit> limits;
  std::map<CommandId, CommandEnd> ended;
  struct Bell {
    UniqueFd fd;  // an eventfd
    bool rung = false;
  };
  std::map<CommandId, Bell> bells;           // of commands that end_fd() was called for
  std::vector<UniqueFd> silent_bells;        // for the next ones
  CommandId reader = 0;                      // the command whose wait() reads now; it needs no bell
  std::map<CommandId, bool> started;         // alive commands
  std::map<CommandId, UniqueFd> relabelled;  // pidfds of alive commands that relabel() is for
  std::map<std::uint64_t, UniqueFd> gates;   // of commands, as pid 1 counts them
  CommandId next_id = 1;
  bool reaped = false;
  std::shared_ptr<void> parent;  // keeps the thread alive whose end would kill pid 1
  std::optional<init::Reply> stopped;
  // Of the layers, beside the disguise's filling; during start only. The last to be made: it reads
  // what stands above.
  std::future<Status> seeding;
  std::future<bool> shared_tree_whole;  // see SharedTree
  bool shared_tree_ahead = true;        // it is looked through meanwhile
  bool shared_tree_broken = false;      // it is why the start failed

  ~State() { kill(); }

  void kill();
  void leave();
  void read_what_came();
  [[nodiscard]] bool ask_to_stop(bool leaving) const;
  void hit(std::string limit, std::string detail);
  Status start();
  Status make_cgroup();
  Status introduce_to(recorder::Session& session);
  [[nodiscard]] Status hand(init::Ask what, const UniqueFd& fd) const;
  Status connect_gateway();
  [[nodiscard]] Status hand_cgroup() const;
  Status answer(Message message);
  Status seed_layers(Mask mask);
  Status find_shared_tree_whole();
  Status proceed(init::Hand with) const;
  Status take(Message message);
  void note(const init::Reply& reply);
  void note_end(const init::Reply& reply, bool started_ok);
  void ring(CommandId id);
  int bell(CommandId id);
  void forget_bell(CommandId id);
  Result<Message> await(CommandId id);
  Status open_gate(Message& answer);
  void note_final_limits();
};

}  // namespace gyges::isolation
