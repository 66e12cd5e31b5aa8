// Which files an event names or touches, as absolute paths.
//
// A PathResolver follows working directories and descriptors of every process through the events of
// one trace. What the kernel itself named (absolute_path, file_identity captures) wins over what is
// worked out from the program's strings, because those are racy (docs/trace_format.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sandbox/recorder/format/descriptor_table.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/path_names.h"
#include "sandbox/recorder/format/path_text.h"
#include "sandbox/recorder/format/process_ends.h"

namespace gyges::recorder {

struct CallPaths;

struct ResolvedPath {
  std::uint8_t argument = 0;  // index of the path or descriptor; result_argument for a returned fd
  std::string path;  // hostile bytes; absolute and without ".", ".." and "//" if `absolute`
  Provenance provenance = Provenance::enter;  // kernel: the object the kernel used
  bool absolute = true;   // false: relative to a directory that the trace does not tell
  bool mutation = false;  // the call succeeded and changed, created or removed this object
};

// The same with the name as a number of the resolver's names().
struct NamedPath {
  std::uint8_t argument = 0;
  Provenance provenance = Provenance::enter;
  bool absolute = true;
  bool mutation = false;
  PathId name = no_path;
};

// Not thread-safe; one per trace and reading.
class PathResolver {
 public:
  PathResolver() : PathResolver(std::make_shared<PathNames>()) {}
  // Takes names that an earlier reading left, so that they need not be learned again. No two
  // resolvers may use them at a time.
  explicit PathResolver(std::shared_ptr<PathNames> names) : names_(std::move(names)) {}
  PathResolver(const PathResolver&) = delete;
  PathResolver& operator=(const PathResolver&) = delete;

  // Paths of this event. Must see every event of the trace once, in order: it also takes in what
  // the event changes (working directory, descriptors, processes). Memory is bounded; beyond a
  // million descriptors further ones stay unknown.
  std::vector<ResolvedPath> paths_of(const Event& event);
  // The same, valid until the next call of either.
  std::span<const NamedPath> names_of(const Event& event);
  [[nodiscard]] const PathNames& names() const { return *names_; }

  // What is known of a process at this point; empty if nothing. A descriptor that the last event
  // closed still has its name. `tid`: of the thread that is meant, where it may have a working
  // directory or descriptors of its own; 0, those that the process's threads share.
  // A descriptor of no file has a word for what it is, which does not begin with "/".
  [[nodiscard]] std::string_view working_directory(std::int32_t pid, std::int32_t tid = 0) const;
  [[nodiscard]] std::string_view descriptor(std::int32_t pid, std::int32_t fd,
                                            std::int32_t tid = 0) const;
  // The file that the process executes, as the kernel names it; also of one that the last event
  // ended.
  [[nodiscard]] std::string_view program(std::int32_t pid) const;

 private:
  struct Directory {
    PathId name = no_path;
  };
  struct Files {
    std::shared_ptr<DescriptorTable> table;  // shared between forks until one changes it
  };
  // Tasks that the kernel gave the same ones (CLONE_FS, CLONE_FILES) hold the same ones here.
  struct Shared {
    std::shared_ptr<Directory> directory;
    std::shared_ptr<Files> files;
  };
  struct Process {
    Shared shared;
    PathId program = no_path;
  };

  [[nodiscard]] const Process* find(std::int32_t pid) const;
  [[nodiscard]] const Shared* shared_of(std::int32_t pid, std::int32_t tid) const;
  [[nodiscard]] Descriptor descriptor_of(std::int32_t pid, std::int32_t tid, std::int32_t fd) const;
  // Of files alone.
  [[nodiscard]] PathId descriptor_path(std::int32_t pid, std::int32_t tid, std::int32_t fd) const;
  [[nodiscard]] PathId directory_of(std::int32_t pid, std::int32_t tid) const;
  [[nodiscard]] bool has_room_for(std::int32_t pid) const;
  Process& process(std::int32_t pid);
  Shared& writable(std::int32_t pid, std::int32_t tid);
  void set_directory(const Event& event, PathId directory);
  void name_paths(const Event& event, const CallPaths* known_call);
  void add_path(std::size_t argument, PathId name, Provenance provenance, bool mutation);
  void learn_directory(const Event& event, const CallPaths* known_call);
  void apply_call(const Event& event, const CallPaths& call);
  void apply_fcntl(const Event& event, const CallPaths& call);
  [[nodiscard]] PathId object_made(const Event& event, const CallPaths& call) const;
  void name_pair(const Event& event, const CallPaths& call, std::size_t argument);
  void name_connected(const Event& event);
  void receive_descriptors(const Event& event);
  void apply_start(const Event& event);
  void apply_exec(const Event& event);
  void apply_exit(const Event& event);
  void unshare(const Event& event, std::uint64_t flags);
  void close_descriptors(const Event& event);
  void forget(const Shared& shared);
  DescriptorTable& writable_descriptors(Files& files);
  void set_descriptor(std::int32_t pid, std::int32_t tid, std::int64_t fd, Descriptor descriptor);
  void forget_unused_names();

  std::shared_ptr<PathNames> names_;
  std::vector<NamedPath> paths_;  // of the last event
  std::unordered_map<std::int32_t, Process> processes_;
  // Threads whose working directory or descriptors are not their process's.
  std::unordered_map<std::int32_t, Shared> own_;
  mutable std::int32_t last_pid_ = 0;
  mutable Process* last_process_ = nullptr;  // of last_pid_; none: to be looked up
  struct Closed {
    std::int32_t pid, tid, fd;
  };
  std::optional<Closed> closed_;           // by the last event
  ProcessEnds ends_;
  std::pair<std::int32_t, PathId> ended_;  // pid and program, by the last event
  std::size_t descriptor_count_ = 0;
  std::size_t names_at_most_ = 64U << 20U;  // bytes beyond which unused names are forgotten
};

// The path in a file_identity capture; empty when there is none or it is no absolute path.
std::string_view identity_path(const Capture& capture);

}  // namespace gyges::recorder
