// Reading a stopped tracee: its memory by the capture plan, its files by /proc.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/proc_directories.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// The captures of one call with the bytes that they show.
class CaptureList {
 public:
  void add(Capture capture, std::string bytes);
  void clear();
  [[nodiscard]] std::span<const Capture> all() const { return captures_; }

 private:
  std::vector<Capture> captures_;
  std::deque<std::string> bytes_;  // a deque, so that views into it stay valid
};

// Reads one stopped thread. Nothing here fails: what cannot be read is a capture that says so.
class Tracee {
 public:
  // `proc` is borrowed.
  Tracee(pid_t tid, std::uint32_t buffer_bytes, bool narrow, ProcDirectories& proc)
      : tid_(tid), buffer_bytes_(buffer_bytes), narrow_(narrow), proc_(proc) {}

  using Arguments = std::array<std::uint64_t, 6>;

  void capture_entry(const wire::plan& plan, const Arguments& args, CaptureList& list) const;
  void capture_exit(const wire::plan& plan, const Arguments& args, std::int64_t result,
                    CaptureList& list) const;
  // The peer of a socket, as the kernel has it.
  void capture_peer(std::size_t argument, int fd, CaptureList& list) const;
  // The working directory, as a capture of argument 0.
  void capture_directory(CaptureList& list) const;
  // Identity and path of what /proc/TID/`link` leads to, as a capture of `argument`.
  // `descriptor`: 1 + that of a file that came with a message.
  void capture_file(std::size_t argument, const std::string& link, CaptureList& list,
                    std::uint32_t descriptor = 0) const;

  // Reads exactly `length` bytes.
  [[nodiscard]] std::optional<std::string> read(std::uint64_t address, std::size_t length) const;

 private:
  [[nodiscard]] std::optional<std::string> read_string(std::uint64_t address, std::size_t limit,
                                                       bool& truncated) const;
  void capture_argument(const wire::plan& plan, std::size_t index, const Arguments& args,
                        std::optional<std::int64_t> result, CaptureList& list) const;
  void capture_strings(Capture capture, std::uint64_t address, std::size_t budget,
                       CaptureList& list) const;
  void capture_iovec(Capture capture, std::uint64_t address, std::uint64_t elements,
                     std::uint64_t length, CaptureList& list) const;
  // False: it could not be read.
  bool capture_msghdr(Capture capture, std::uint64_t address, bool several,
                      std::optional<std::int64_t> result, CaptureList& list) const;
  void capture_received(std::size_t argument, std::uint64_t address, std::uint64_t length,
                        CaptureList& list) const;
  void capture_bytes(Capture capture, std::uint64_t address, std::uint64_t length,
                     std::size_t limit, CaptureList& list) const;
  void capture_base(const wire::plan& plan, std::size_t index, const Arguments& args,
                    CaptureList& list) const;

  pid_t tid_;
  std::uint32_t buffer_bytes_;
  bool narrow_;  // the caller's pointers have 32 bits
  ProcDirectories& proc_;
};

}  // namespace gyges::recorder
