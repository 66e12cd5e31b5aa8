// What the descriptors of a process stand for, as names by number (path_names.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "sandbox/recorder/format/path_names.h"

namespace gyges::recorder {

struct Descriptor {
  PathId name = no_path;
  bool close_on_exec = false;
  bool is_file = true;  // else the name says what it is: "pipe", "TCP", "192.0.2.7:80"
};

// Not thread-safe.
class DescriptorTable {
 public:
  [[nodiscard]] const Descriptor* find(std::int32_t fd) const;  // nullptr: unknown
  [[nodiscard]] std::size_t count() const { return count_; }
  // `fd` is not negative, and the name not no_path.
  void set(std::int32_t fd, Descriptor descriptor);
  void erase(std::int32_t fd);
  void erase_closed_on_exec();
  // From `first` to `last`, both included.
  void erase(std::uint64_t first, std::uint64_t last);
  void close_on_exec(std::uint64_t first, std::uint64_t last);

  // visit(PathId&) for every name, which it may change.
  template <class Visit>
  void each_name(Visit visit) {
    for (Descriptor& one : low_) visit(one.name);
    for (auto& [fd, one] : high_) visit(one.name);
  }

 private:
  // Nearly all descriptors are small numbers.
  std::vector<Descriptor> low_;  // by number; no_path: unknown
  std::map<std::int32_t, Descriptor> high_;
  std::size_t count_ = 0;
};

}  // namespace gyges::recorder
