#include "sandbox/recorder/format/path_names.h"

#include <atomic>

#include "sandbox/recorder/format/block_tables.h"
#include "sandbox/recorder/format/path_text.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t first_slots = 1024;

std::uint64_t next_generation() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace

PathNames::PathNames() : seed_(random_hash_seed()) {
  clear();
}

void PathNames::clear() {
  generation_ = next_generation();
  bytes_ = 0;
  texts_ = {};
  names_.clear();
  joined_.clear();
  slots_.assign(first_slots, 0);
  add({}, byte_hash({}, seed_));
}

PathId PathNames::add(std::string_view bytes, std::uint64_t hash) {
  names_.push_back({texts_.keep(bytes), hash, unknown});
  bytes_ += bytes.size() + sizeof(Name) + 2 * sizeof(PathId);
  if (names_.size() * 2 > slots_.size()) {
    grow();
  } else {
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = static_cast<PathId>(names_.size());
  }
  return static_cast<PathId>(names_.size() - 1);
}

void PathNames::grow() {
  slots_.assign(slots_.size() * 2, 0);
  for (PathId id = 0; id < names_.size(); ++id) {
    std::size_t at = names_[id].hash & (slots_.size() - 1);
    while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = id + 1;
  }
}

PathId PathNames::id_of(std::string_view bytes) {
  const std::uint64_t hash = byte_hash(bytes, seed_);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash & mask; slots_[at] != 0; at = (at + 1) & mask) {
    const Name& name = names_[slots_[at] - 1];
    if (name.hash == hash && name.text == bytes) return slots_[at] - 1;
  }
  return add(bytes, hash);
}

PathId PathNames::joined(PathId directory, PathId path) {
  if (is_absolute(path)) {
    if (names_[path].normal == unknown) {
      const PathId normal = id_of(join_path({}, text(path)));
      names_[path].normal = normal;
    }
    return names_[path].normal;
  }
  const std::uint64_t key = std::uint64_t{directory} << 32U | path;
  if (auto found = joined_.find(key); found != joined_.end()) return found->second;
  const PathId made = id_of(join_path(text(directory), text(path)));
  bytes_ += 64;
  joined_.emplace(key, made);
  return made;
}

}  // namespace gyges::recorder
