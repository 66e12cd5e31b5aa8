// The arms of every comparison: nothing, what the kernel takes for doing nothing, Gyges' two
// backends, and the peers that run on this host. Each is a command in front of the work, so that
// all are measured alike.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "record_command.h"
#include "works.h"

namespace gyges::bench {

enum class ArmKind { untraced, floor, gyges, strace, perf_trace, perf_record, sysdig };

struct Arm {
  std::string name;  // "untraced", "empty programs", "bare tracer", "ebpf", "ptrace", "ptrace,
                     // user", "strace -f", ...
  ArmKind kind = ArmKind::untraced;
  std::vector<std::string> prefix;  // of the command
  bool slow = false;                // stops the process at every call: fewer rounds and calls
};

struct Measured {
  WorkReport work;
  std::optional<RecordReport> record;  // of gyges' arms
  // Calls or records that the arm should have and has not; none where the arm cannot be asked.
  std::optional<std::uint64_t> lost;
};

class Arms {
 public:
  explicit Arms(std::filesystem::path directory);

  // Those that work here, untraced first. Why one does not is printed on standard error.
  [[nodiscard]] const std::vector<Arm>& all() const { return arms_; }
  [[nodiscard]] const Arm* find(const std::string& name) const;
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] std::filesystem::path trace() const { return directory_ / "trace.gyt"; }
  [[nodiscard]] std::filesystem::path peer_output() const { return directory_ / "peer.out"; }

  // Runs a work under an arm. `meanwhile` is called with the recording process while it runs. Exits
  // with a message when the work or the recorder fails, or when gyges' record is incomplete.
  // `buffer_bytes`: of gyges' arms. Peers whose output is to be kept have it in peer_output().
  Measured run(const Arm& arm, const std::string& work, long count, bool keep_output = false,
               unsigned buffer_bytes = 64,
               const std::function<void(int recorder_pid)>& meanwhile = {}) const;

 private:
  [[nodiscard]] std::vector<std::string> command_of(const Arm& arm, bool keep_output,
                                                    unsigned buffer_bytes) const;
  // How many calls the peer has of what it should have.
  [[nodiscard]] std::optional<std::uint64_t> lost_by(const Arm& arm, std::uint64_t calls) const;

  std::filesystem::path directory_;
  std::string self_;
  std::vector<Arm> arms_;
};

}  // namespace gyges::bench
