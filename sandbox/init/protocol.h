// What the supervisor and pid 1 of a sandbox say to each other: the set-up program that pid 1
// executes, and the messages on the control socket (AF_UNIX, SOCK_SEQPACKET).
//
// Both ends are of one build and on one machine, so the structures travel as they are in memory.
// pid 1 trusts the supervisor; the supervisor does not trust pid 1 and checks every message.
#pragma once

#include <cstdint>

namespace gyges::init {

// The descriptor that pid 1 finds open when it starts; everything else is closed.
inline constexpr int control_fd = 3;

// CLONE_NEWNS, NEWUTS, NEWIPC and NEWNET, which pid 1 enters itself before it asks for its program:
// making them takes longer than planning, and so both are done at the same time.
inline constexpr std::uint64_t own_namespaces = 0x4c020000;

// The gateway's TCP listeners, in its own namespace; nobody but the packet rules aims at it.
inline constexpr std::uint16_t gateway_port = 15001;

inline constexpr std::uint32_t max_slots = 320;          // detached mounts held during set-up
inline constexpr std::uint32_t max_commands = 1024;      // commands alive at one time
inline constexpr std::uint32_t most_kept = 1024;         // cgroups whose names the keeper holds
inline constexpr std::uint64_t max_payload = 8U << 20U;  // bytes of a program or a command
inline constexpr std::uint32_t most_in_message = 16U << 10U;  // of a command that needs no file

enum class Op : std::uint32_t {
  write_file = 1,  // a: path, b: content
  private_mounts,  // no mount change goes to or comes from the host
  open_tree,       // number[0]: slot, a: host path: a detached copy of the mount there
  new_root,        // a: host directory to stand on, b: mount data: a tmpfs that becomes the root
  make_path,       // a: directory, number[0]: mode; parents as needed
  make_file,       // a: an empty file to mount on, number[0]: mode (0: 0644); parents as needed
  make_symlink,    // a: target, b: path; parents as needed
  check_path,      // a: path below the new root that is reached through no link
  set_owner,       // a: path, number[0]: uid, number[1]: gid, number[2]: mode
  attach,          // number[0]: slot, a: path, number[1]: attributes to set on all mounts in it
  mount,           // a: type, b: path, c: data, number[0]: flags
  bind,            // a: directory, b: path
  hand_over,       // a: directory: its descriptor goes to the supervisor, which fills it.
                   // number[0]: the Hand it is, number[1]: 1 to go on meanwhile (await_answer)
  hand_copy,       // as hand_over with 1, by a mount of its own: what is done to the one at a is
                   // not seen
  leave_behind,    // a: mount point, then removed: its mount goes with the old root
  enter_root,      // the new root becomes /, the host's tree is gone
  freeze_root,     // the root itself becomes read-only
  mask,            // a: path that reads as empty from now on; nothing where it does not exist.
                   // number[0]: 1 + slot of an empty file to cover it with, 0: /dev/null
  set_hostname,    // a: name
  new_namespaces,  // number[0]: CLONE_NEW* flags
  hand_netlink,    // a NETLINK_ROUTE socket of this network namespace goes to the supervisor
  hand_gateway,    // makes the gateway's network namespace; its sockets go to the supervisor in the
                   // order of network::GatewaySockets. number[0]: 1 with IPv6. a: who may ping
  drop_privileges,   // number[0]: bit mask of the capabilities pid 1 keeps
  landlock_begin,    // number: accesses to files and network, and scopes, that a ruleset handles
  landlock_path,     // a: path inside, number[0]: accesses that are allowed below it
  landlock_port,     // number[0]: TCP port, number[1]: accesses
  landlock_enforce,  // the ruleset holds for pid 1 and everything it starts
  loopback_up,       // the loopback interface of this network namespace
  hand_terminal,     // a: ptmx of a devpts: a new terminal's master goes to the supervisor
  cover,             // a: file, b: path to bind it over; nothing where there is no such path
  show_network,  // a: place for a moment's sysfs, b: directory that shows this network namespace's
                 // interfaces. Where the kernel refuses: Tell::skipped
  set_name,      // a: comm of pid 1
  next_pid,      // number[0]: pid of the next process, about. Where refused: Tell::skipped
  date_root,     // number[0]: seconds since 1970: the time of / and of what lies in its own file
                 // system
  set_time,      // a: path, number[0]: seconds since 1970
  await_answer,  // until the supervisor has dealt with the Hand number[0], which was offered
  await_cgroup,  // until the supervisor has made the cgroup and pid 1 has entered it
  decoy,         // a: comm, b: arguments, NUL-separated, number[0]: uid, number[1]: gid,
                 // number[2]: 1 to change to them, and its pid in the upper half; 0: any. Where
                 // the kernel refuses the number: Tell::skipped, and it has another
  start_decoys,  // those of the steps before; they go on by themselves
  await_decoys,  // until all of them sleep
  offer_bus_sockets,  // a, b: paths to listen at; the sockets go to the supervisor. number[0]:
                      // their time, seconds since 1970. Where there is no place for them:
                      // Tell::skipped
};

// The program: one ProgramHeader, then `steps` times a StepHeader followed by its three strings,
// each NUL-terminated.
struct ProgramHeader {
  std::uint32_t steps = 0;
  std::uint32_t filters = 0;  // seccomp programs: u32 count of instructions, then these
  std::uint32_t uid = 0;      // of commands, inside
  std::uint32_t gid = 0;
  std::uint32_t change_user = 0;        // 1: setresuid to uid before exec (supervisor is root)
  std::uint32_t wall_seconds = 0;       // 0: no limit
  std::uint64_t keep_capabilities = 0;  // of commands
  std::uint64_t limits[16] = {};        // by RLIMIT_ number; unlimited: ~0
  std::uint32_t clock_waits = 0;        // 1: the wall clock starts at Ask::begin
  std::uint32_t listener = 0;           // 1: the first filter's listener goes to the supervisor
  std::uint32_t own_memory = 0;         // 1: commands do not share pid 1's before their program
  std::uint32_t padding = 0;
};

// Payload of entered: what depends on the cgroup that could be had.
struct CgroupSettings {
  std::uint64_t most_processes = ~0ULL;  // RLIMIT_NPROC of commands
  std::uint64_t watch_memory = 0;        // most bytes of all processes together; 0: not watched
  std::uint64_t count_processes = 0;     // 1: report the highest number of tasks seen
};

struct StepHeader {
  Op op{};
  std::uint32_t lengths[3] = {};  // of the strings, without their NUL
  std::uint64_t number[3] = {};
};

enum class Ask : std::uint32_t {
  proceed = 1,  // the handed-over descriptor has been dealt with; id: the Hand it was
  spawn,        // descriptors: standard input, output, error, and the payload's file unless the
                // payload follows the request in its message
  signal,       // number to command `id`, or to its process group
  shutdown,     // kill everything, leave the cgroup by the descriptors (Cgroup::exits, or none),
                // answer `stopped`, exit
  begin,        // the sandbox was handed over: the wall clock starts
  set_up,       // the program; its descriptor. Before anything else
  // While that is done, each with one descriptor but the last:
  take_mount,    // a detached mount that the supervisor made: slots 0, 1, ... in their order
  enter_cgroup,  // its entrance (Cgroup::entrances)
  entered,       // those were all; the CgroupSettings follow the request in its message
};

struct Request {
  Ask ask{};
  std::uint32_t id = 0;
  std::int32_t signal = 0;
  std::uint32_t group = 0;
};

// Payload of spawn: this, then directory, argv and environment as NUL-terminated strings.
struct SpawnHeader {
  std::uint32_t argc = 0;
  std::uint32_t envc = 0;
  std::uint32_t gated = 0;     // 1: waits at its gate before exec
  std::uint32_t terminal = 0;  // 1: standard input is a terminal, which becomes the controlling one
  std::uint32_t last = 0;      // 1: pid 1 stops the sandbox when it has ended and nobody is left
};

// What pid 1 does besides the program; stands in place of a step's index where it failed.
enum class OwnStep : std::uint32_t {
  lifetime = 0xffffff00,  // to die with the supervisor
  signals,
  program,  // reading it
  clock,    // the wall clock
  descriptors,
  secrecy,  // not to be read or traced from inside
  requests,
  bounding_set,
  namespaces,
  cgroup,  // entering it
};

// What a handed descriptor is.
enum class Hand : std::uint32_t { scratch = 1, route, gateway, terminal, disguise, bus };

enum class Tell : std::uint32_t {
  handed = 1,   // with a descriptor; id: Hand
  ready,        // the set-up program is done
  failed,       // step `id` (an index, or an OwnStep) failed with `error`
  spawned,      // with a pidfd; number[0]: pid inside, number[1]: 1 if it waits at its gate,
                // number[2]: which gate. The first time it comes with that gate's eventfd as well
  not_spawned,  // command `id`: `error`
  ended,        // command `id`: `status` as of wait4; number: user ns, system ns, max rss bytes
  not_started,  // command `id` could not exec: `error`, number[0]: StartStep
  wall_time,    // the wall clock ran out; everything is being killed
  stopped,      // number[0]: processes that had to be killed; number[1]: most tasks seen;
                // number[2]: processes killed because all held too much memory;
                // status: 1 when pid 1 has left its cgroup
  listener,     // with the listener of the first filter of a command; by the command itself
  skipped,      // step `id`, which is a matter of looks, failed with `error`
};

// What a command that could not be started was doing; travels with its errno.
enum class StartStep : std::uint32_t {
  descriptors = 1,
  limits,
  privileges,
  directory,  // entering it
  find,       // looking the program up in PATH
  filter,
  execute,
};

struct StartFailure {
  std::int32_t code = 0;  // errno; 0: the start gate is reached
  StartStep step{};
};

struct Reply {
  Tell tell{};
  std::uint32_t id = 0;
  std::int32_t error = 0;
  std::int32_t status = 0;
  std::uint64_t number[3] = {};
};

}  // namespace gyges::init
