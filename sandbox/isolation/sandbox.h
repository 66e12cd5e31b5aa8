// A running sandbox: namespaces, root filesystem, seccomp filter, limits and pid 1, made from a
// Policy, in which commands are started one by one.
//
// Life cycle: start() -> spawn()/wait() any number of times -> stop(). Destruction without stop()
// kills everything inside. If the supervisor dies, the kernel kills pid 1 and with it the tree.
//
// Thread-safety: spawn() to note_limit() may be called by several threads at once, each waiting for
// the end of its own command; everything else by one thread while no other uses the sandbox.
// Different sandboxes are independent.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/network/flow_sink.h"

namespace gyges::recorder {
class Session;
}

namespace gyges::isolation {

struct Disguise;

// A file that the sandbox finds at its start, placed in the writable layer below the change record:
// it does not count as a change of the run. Parent directories are made as needed (mode 0755, owned
// like the file). Paths are absolute, inside the sandbox, and must lie under a writable mount.
struct SeedFile {
  enum class Kind { file, directory, symlink };
  Kind kind = Kind::file;
  std::string path;
  std::string content;      // bytes of a file, target of a symlink
  unsigned mode = 0644;     // permission bits
  bool agent_owned = true;  // false: owned by root where the supervisor is root
  // In place of these two's own, where the supervisor is root.
  std::optional<std::uint32_t> uid, gid;
  std::int64_t mtime = 0;  // seconds since 1970; 0: now
  // Of a file that is mostly holes, with nothing in `content`: what stands where, in order. Such a
  // file takes the room of its pieces, here and in the sandbox.
  struct Piece {
    std::uint64_t offset = 0;
    std::string bytes;
  };
  std::vector<Piece> pieces;
};

struct SandboxSpec {
  Policy policy;
  std::vector<SeedFile> seed;
  recorder::Session* session = nullptr;  // borrowed; null: nothing is recorded
  // The sandbox is made ahead of its use: its wall clock and its record start at begin().
  bool prepared = false;
  std::vector<std::string> allow_degraded;  // accepted by the caller; names of degradation.h
  bool terminal = false;                    // a pseudo-terminal for a command; see take_terminal()
  network::FlowSink flows;  // takes what the network's gateway reports, by another thread
  // What covers the host's looks (disguise.h), as far as the policy's `cues` let it; null: nothing.
  std::shared_ptr<const Disguise> disguise;
  std::string packed_world;  // of the simulated internet; empty: nothing is there
  // Asked at each start, and again where one has to begin anew, for the gateway's end of a socket
  // over which it hands out HTTP exchanges (network/outlet/frames.h), by the thread that starts.
  // Empty: nothing is handed out.
  std::function<Result<UniqueFd>()> outlet;
};

// What of the policy this host enforces, and how.
struct Enforcement {
  std::string landlock;               // "ABI 7: from the mounts", "off: this kernel has none"
  std::string memory;                 // "sandbox", "process", "none": whose memory is limited
  std::string processes;              // "sandbox", "user", "none": whose processes are counted
  std::string network;                // "none", "all ports", or which TCP ports and why
  std::vector<std::string> degraded;  // accepted degradations that came to pass
  std::vector<std::string> unhidden;  // steps of the disguise that this host refused, with why
};

struct Command {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of env unless it has a slash
  std::vector<std::string> environment;  // NAME=value, complete
  std::string directory;                 // inside; empty: the policy's home
  int standard_input = -1;               // borrowed; -1: /dev/null
  int standard_output = -1;
  int standard_error = -1;
  std::uint32_t tool_call = 0;
  bool terminal = false;  // standard input is a terminal of the command's own: make it controlling
  bool relabelled = false;  // relabel() will be called for it
  // Nothing is started after it: where its end leaves nobody behind, and there is no cgroup to be
  // left, pid 1 ends the sandbox without being told to, and stop() finds it done.
  bool last = false;
};

using CommandId = std::uint32_t;

struct CommandEnd {
  int exit_code = 0;        // valid when signal is 0
  int signal = 0;           // the signal that ended it, or 0
  std::string start_error;  // not empty: the program could not be started (exit_code 126 or 127)
  std::uint64_t user_ns = 0;
  std::uint64_t system_ns = 0;
  std::uint64_t max_rss_bytes = 0;
};

// Why the sandbox as a whole ended or what it ran into; names appear in run.json "limits_hit".
struct LimitHit {
  std::string
      limit;  // "wall_seconds", "processes", "memory_bytes", "disk_bytes", "output_bytes", ...
  std::string detail;
};

struct FileChange {
  enum class Kind { added, modified, deleted };
  enum class Type { file, directory, symlink, fifo, socket, device };
  Kind kind = Kind::added;
  Type type = Type::file;
  std::string path;       // bytes, absolute, inside the sandbox
  unsigned mode = 0;      // permission bits with setuid, setgid, sticky
  std::uint32_t uid = 0;  // inside
  std::uint32_t gid = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::string sha256;       // hex; files only, empty where the content was not collected
  std::string link_target;  // symlinks only
  // Extended attributes at the end, by name; names and values are bytes. Files and directories
  // only.
  std::vector<std::pair<std::string, std::string>> attributes;
  std::string note;  // why content or attributes are missing ("unreadable", ...)
};

// A pseudo-terminal of the sandbox's own: its name is that of a file inside, /dev/pts/0.
struct Terminal {
  UniqueFd master;  // non-blocking
  UniqueFd slave;   // for the command, and the agent's as a file
};

struct SandboxEnd {
  std::vector<LimitHit> limits_hit;
  std::vector<FileChange> changes;
  bool changes_complete = true;      // false: the tree was larger than the limits of collection
  std::uint32_t processes_left = 0;  // processes that stop() had to kill
  std::string network_failure;       // not empty: the gateway failed, and flows may be missing
  bool network_copies = false;       // what destinations sent was not moved but copied: slower
  std::string network_ports;  // not empty: which TCP ports connections are let in on, and why
};

// How stop() may save time.
struct SandboxStop {
  bool collect = true;  // the file changes; false: nobody will ask for them
  // This process ends at once: what the kernel takes apart by itself then is not waited for (0.5 to
  // 1.5 ms). That is pid 1, killed once it has said that nobody else is left and that it is out of
  // its cgroups, with its namespaces.
  bool process_ends = false;
};

// The warning that SandboxEnd::network_copies is worth.
inline constexpr const char* copied_network =
    "what was relayed was copied on its way, which is slower: no pipes of 1 MiB were left for this "
    "user (/proc/sys/fs/pipe-user-pages-soft)";

class Sandbox {
 public:
  // Begins what every sandbox needs, for the one that this thread starts next, while the caller
  // finds out what it is to be: pid 1 takes a millisecond to be executed and to make its
  // namespaces. A start whose disguise gives pid 1 other arguments (Disguise::init_arguments) makes
  // its own. What fails here fails in start(), and is said there.
  static void start_ahead(std::vector<std::string> init_arguments = {"init"});
  // Ends what was begun and is not wanted any more.
  static void drop_ahead();

  static Result<std::unique_ptr<Sandbox>> start(const SandboxSpec& spec);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  // Hands a sandbox over that was started with `prepared`: the wall clock starts now, and commands
  // are recorded into `session` (borrowed; null: nothing is recorded). Once, before the first
  // spawn.
  Status begin(recorder::Session* session);

  // The terminal of a sandbox that was started with `terminal`. Once.
  Result<Terminal> take_terminal();

  // Whether pid 1 lives, as far as can be known without asking it.
  [[nodiscard]] bool alive() const;

  // Starts a command; its process is labelled with the tool call before its first instruction.
  Result<CommandId> spawn(const Command& command);

  // Moves the command's first process, started with `relabelled`, to another tool call: what it
  // does and starts from now on belongs to that call, what it has started before does not. Call it
  // while the process waits for something. Without effect where nothing is recorded.
  Status relabel(CommandId id, std::uint32_t tool_call);

  // Waits until the command's first process ends; nullopt at the deadline (the command goes on).
  // Fails when pid 1 is gone (the sandbox hit its wall clock, or was killed); see limits_hit().
  Result<std::optional<CommandEnd>> wait(CommandId id,
                                         std::chrono::steady_clock::time_point deadline);

  // A descriptor that polls readable when wait() may make progress, for callers that also pump
  // output. Borrowed. Where several threads wait, another may read what this one polls for: they
  // poll end_fd() too.
  [[nodiscard]] int event_fd() const;

  // Polls readable once a thread has read that this command has ended. Borrowed, until wait() has
  // told of the end. -1 where there was no descriptor to be had.
  [[nodiscard]] int end_fd(CommandId id);

  // Sends a signal to the command's first process, or to its whole process group.
  Status signal(CommandId id, int signal_number, bool whole_group);

  [[nodiscard]] const Enforcement& enforcement() const;

  // Limits hit so far.
  [[nodiscard]] std::vector<LimitHit> limits_hit() const;

  // Adds a limit that a caller enforces (output_bytes of a pumped pipe).
  void note_limit(LimitHit hit);

  // Kills every process inside, waits for them, collects the file changes and their contents into
  // `contents_directory` (one file per SHA-256 in hex; empty path: no contents), frees everything.
  Result<SandboxEnd> stop(const std::string& contents_directory, SandboxStop how = {});

 private:
  friend class SandboxPool;
  struct State;
  explicit Sandbox(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::isolation
