// The part of a plan that makes the file system: the root, its mounts and writable layers, /proc
// and /dev.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/plan_steps.h"

namespace gyges::isolation {

// Writes its steps, areas, mount points and links into `plan`. The calls are made once each, in the
// order in which they stand here; other concerns' steps may come between them.
class FilesystemPlan {
 public:
  FilesystemPlan(const Policy& policy, const HostFacts& host,
                 const std::vector<std::string>& seed_paths, Plan& plan)
      : policy_(policy), host_(host), seeds_(seed_paths), plan_(plan), steps_(plan.steps) {}

  // Looks at every source on the host; parents come before children.
  Status sort_mounts();

  // Sources are taken before the new root covers anything, and only ever by descriptor afterwards.
  // `shared`: the directory of SharedTree; empty: none.
  Status open_sources(const std::string& shared);

  // The new root, the file system of the writable layers and that of the disguise. The supervisor
  // fills them while other steps go on, until those that await it.
  void root_and_scratch(const Disguise& disguise);
  void proc_and_devices(bool terminal, const Disguise& disguise);

  void await_disguise(const Disguise& disguise);
  // Covers over files of /proc, and the tree of /sys unless the policy mounts something there.
  void cover(const Disguise& disguise);

  void await_layers();

  void place_mounts();

  // What the root of a system has, where the policy mounts nothing, and when it was made.
  void looks_of_root(const Disguise& disguise);

  // The new root becomes /; what the policy hides is masked, then the root becomes read-only.
  void enter();

 private:
  void date(const std::string& name, std::string path, std::int64_t time);
  struct Placed {
    Mount mount;
    bool is_directory = true;
    std::string link;                 // target of a symlink to recreate
    std::optional<std::size_t> area;  // index into plan_.areas
    std::optional<std::uint64_t> slot;
    std::optional<MappedSource> mapped;
  };

  void open_covers();
  std::uint64_t open_slot(const std::string& source);
  void attach(std::string words, std::uint64_t slot, std::string path, std::uint64_t attributes);
  void make_area(Placed& placed);
  void make_layers();
  [[nodiscard]] bool nearest_area_is(const std::string& path, const std::string& target) const;
  [[nodiscard]] bool granted(std::string_view grant) const;
  [[nodiscard]] bool inside_another_mount(const std::string& path) const;
  void place_area(std::size_t index, std::optional<std::uint64_t> slot, const std::string& path);

  void place_view(const std::string& target, std::uint64_t slot, const std::string& path);

  const Policy& policy_;
  const HostFacts& host_;
  const std::vector<std::string>& seeds_;
  Plan& plan_;
  StepWriter steps_;
  std::vector<Placed> mounts_;
  std::vector<std::pair<std::string, std::uint64_t>> devices_;
  std::vector<std::uint64_t> covers_;    // slots, in the order of the masked paths
  std::set<std::string> disguised_;      // paths inside; a mask of them has nothing left to hide
  std::optional<std::uint64_t> shared_;  // slot of the disguise's shared tree
  std::uint64_t slots_ = 0;
  unsigned views_ = 0;
  std::int64_t root_time_ = 0;  // 0: as it is
  // A container's runtime made these, and with them changed the root, when it started it; 0: not.
  std::int64_t start_time_ = 0;
  std::vector<std::string> dated_later_;
};

}  // namespace gyges::isolation
