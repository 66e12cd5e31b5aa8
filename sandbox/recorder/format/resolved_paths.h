// Which files an event names or touches, as absolute paths.
//
// A PathResolver follows working directories and descriptors of every process through the events of
// one trace. What the kernel itself named (absolute_path, file_identity captures) wins over what is
// worked out from the program's strings, because those are racy (docs/trace_format.md).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/path_text.h"

namespace gyges::recorder {

struct ResolvedPath {
  std::uint8_t argument = 0;  // index of the path or descriptor; result_argument for a returned fd
  std::string path;  // hostile bytes; absolute and without ".", ".." and "//" if `absolute`
  Provenance provenance = Provenance::enter;  // kernel: the object the kernel used
  bool absolute = true;   // false: relative to a directory that the trace does not tell
  bool mutation = false;  // the call succeeded and changed, created or removed this object
};

// Not thread-safe; one per trace and reading.
class PathResolver {
 public:
  // Paths of this event. Must see every event of the trace once, in order: it also takes in what
  // the event changes (working directory, descriptors, processes). Memory is bounded; beyond a
  // million descriptors further ones stay unknown.
  std::vector<ResolvedPath> paths_of(const Event& event);

  // What is known of a process at this point; empty if nothing. A descriptor that the last event
  // closed still has its name.
  [[nodiscard]] std::string_view working_directory(std::int32_t pid) const;
  [[nodiscard]] std::string_view descriptor(std::int32_t pid, std::int32_t fd) const;
  // The file that the process executes, as the kernel names it; also of one that the last event
  // ended.
  [[nodiscard]] std::string_view program(std::int32_t pid) const;

 private:
  struct Descriptor {
    std::string path;
    bool close_on_exec = false;
  };
  using DescriptorTable = std::map<std::int32_t, Descriptor>;
  struct Process {
    std::string directory;
    std::string program;
    std::shared_ptr<DescriptorTable> descriptors;  // shared between forks until one changes it
  };

  std::vector<ResolvedPath> named_paths(const Event& event) const;
  void learn_directory(const Event& event);
  void apply_call(const Event& event, const std::vector<ResolvedPath>& paths);
  void apply_start(const Event& event);
  void apply_exec(const Event& event);
  DescriptorTable& writable_descriptors(Process& process);
  void set_descriptor(std::int32_t pid, std::int64_t fd, std::string path, bool close_on_exec);

  std::unordered_map<std::int32_t, Process> processes_;
  std::optional<std::pair<std::int32_t, std::int32_t>> closed_;  // pid and fd, by the last event
  std::pair<std::int32_t, std::string> ended_;  // pid and program, by the last event
  std::size_t descriptor_count_ = 0;
};

// The path in a file_identity capture; empty when there is none or it is no absolute path.
std::string_view identity_path(const Capture& capture);

}  // namespace gyges::recorder
