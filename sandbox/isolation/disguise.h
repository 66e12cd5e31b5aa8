// What a sandbox shows of its machine instead of the host's: contents that cover files of /proc, a
// tree that stands as /sys, the looks of pid 1, the numbers of processes, and processes that only
// look like daemons. Made by sandbox/cues from a persona; here it is bytes to be placed.
//
// It hides and grants nothing: every cover is a read-only file of Gyges's own over a file of the
// kernel's, placed before the policy's masks are, and a process inside can remove none of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/isolation/bus_door.h"
#include "sandbox/isolation/own_use.h"
#include "sandbox/isolation/policy.h"

namespace gyges::isolation {

struct TreeEntry {
  enum class Kind { directory, file, symlink };
  Kind kind = Kind::file;
  std::string path;     // relative to the tree's root; parents come before children
  std::string content;  // bytes of a file, target of a symlink
  unsigned mode = 0444;
  bool own = false;  // differs from run to run; all others can be shared (shared_tree.h)
  // Of a file that is the run's own: its content, once a second, as that of a cover.
  std::function<std::string(const OwnUse&)> renew = {};
};

struct Cover {
  std::string path;     // absolute; skipped where the host has no such file
  std::string content;  // empty where it is renewed
  unsigned mode = 0444;
  // Not empty: gives the content, once a second, for what moves on a living machine. Called by
  // a thread of the sandbox's own; must not block.
  std::function<std::string(const OwnUse&)> renew;
  // Not nothing: it covers a directory, with these in it.
  std::optional<std::vector<TreeEntry>> entries = std::nullopt;
  // The emulation has it among its fixed files: it is not placed where opens are answered, which
  // spares a file and a mount.
  bool answered = false;
};

// A process that sleeps for as long as the sandbox lives. As root it has the given user and no
// capability; rootless it is the agent's user, like everything inside.
struct Decoy {
  std::string name;               // comm, at most 15 bytes
  std::vector<std::string> argv;  // empty: it shows none, like a thread of the kernel's
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;  // wanted; 0: the next
};

struct Emulation;

struct Disguise {
  std::vector<Cover> covers;
  std::vector<TreeEntry> sysfs;  // empty: no /sys
  // Directory of the tree over which the kernel's own view of this network namespace's interfaces
  // is placed; empty: none.
  std::string network_directory;
  std::string init_name = "init";  // comm of pid 1
  std::vector<std::string> init_arguments = {"init"};
  std::vector<Decoy> decoys;
  std::vector<std::string> root_files;  // empty programs below /, "/.dockerenv"
  // Empty directories that every system has, where the policy mounts nothing, and their modes.
  std::vector<std::pair<std::string, unsigned>> root_directories;
  // The same below /dev.
  std::vector<std::pair<std::string, unsigned>> device_directories;
  bool root_of_disk = false;   // the root directory has the number that it has on a disk
  std::int64_t root_time = 0;  // of / and its links and empty directories, since 1970; 0: now
  // Of /run, since 1970, and in a container of its root and of root_files; 0: now.
  std::int64_t run_time = 0;
  std::int64_t temporary_time = 0;  // of /tmp; 0: now
  // Processes that a user may have by default (RLIMIT_NPROC), where the policy sets no limit of the
  // kind; 0: the host's.
  std::uint64_t usual_processes = 0;
  std::uint32_t next_pid = 0;  // the first command has this pid or a little more; 0: the kernel's

  BusDoor::Document bus;      // what the system bus tells; empty: there is none
  std::int64_t bus_time = 0;  // of its sockets, since 1970

  std::shared_ptr<const Emulation> emulation;  // answers of system calls; null: none

  // What the persona claims and this host gives away whatever is placed; for
  // Enforcement::unhidden.
  std::vector<std::string> unhidden;

  // Whether it needs a file system of its own.
  [[nodiscard]] bool places_files() const;
  [[nodiscard]] bool places(const Cover& cover) const;
};

// What of a disguise the policy's switches leave: the disguise itself where that is all of it, for
// it is thousands of strings. Null: nothing.
std::shared_ptr<const Disguise> effective_disguise(std::shared_ptr<const Disguise> disguise,
                                                   const CueRules& rules);

// Writes the files of a disguise into the file system that pid 1 handed over, and keeps those that
// move moving until it is destroyed. Not thread-safe; one owner. In this order: write(), which pid
// 1 waits for, write_trees() while it goes on, start().
class DisguiseFiles {
 public:
  // The covers, and of the tree what is mounted on. `shared`: a directory of the host has all
  // entries but those of the run's own (shared_tree.h). `as_root`: the files are root's; otherwise
  // they are the agent's user's.
  static Result<std::unique_ptr<DisguiseFiles>> write(UniqueFd root, const Disguise& disguise,
                                                      bool shared, bool as_root);
  // The rest of the tree, which is hundreds of files, and what is in directories that cover others.
  Status write_trees(const Disguise& disguise);
  // Begins to renew, with what pid 1 and those below it use. `use` is told it, too.
  Status start(pid_t first, std::shared_ptr<SharedUse> use);
  // Renews nothing any more; the destructor then has less to wait for. After start().
  void begin_stop();
  ~DisguiseFiles();
  DisguiseFiles(const DisguiseFiles&) = delete;
  DisguiseFiles& operator=(const DisguiseFiles&) = delete;

 private:
  struct Moving {
    UniqueFd file;
    std::function<std::string(const OwnUse&)> renew;
  };
  DisguiseFiles(UniqueFd root, bool shared, bool as_root)
      : root_(std::move(root)), shared_(shared), as_root_(as_root) {}
  Status write_first(const Disguise& disguise);
  Status put_covers(const Disguise& disguise);
  Status put_places(const Disguise& disguise);
  Status put_cover_trees(const Disguise& disguise);
  Status put_moving(const Disguise& disguise);
  void keep_moving(pid_t first);

  UniqueFd root_;
  bool shared_;
  bool as_root_;
  std::vector<Moving> moving_;
  std::shared_ptr<SharedUse> use_;
  UniqueFd wake_;  // an eventfd; written to end the thread
  std::thread thread_;
};

// Which entries of a tree are meant.
enum class Entries { all, shared, own };

// Makes entries in the directory `place` of `root`, with the directories that lead to them. As root
// their modes are as given; otherwise every file is the agent's, and one that only root may read is
// closed to its owner too. Files that are renewed are left out.
Status put_entries(int root, const std::string& place, const std::vector<TreeEntry>& entries,
                   Entries which, bool as_root);
unsigned mode_for(unsigned mode, bool as_root);

// Where cover number `index` lies in that file system.
std::string cover_source(std::size_t index);
// Where the tree of /sys lies in it.
inline constexpr const char* sysfs_source = "sys";

}  // namespace gyges::isolation
