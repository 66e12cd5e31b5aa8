// What a manifest can say of a machine that no machine is.
#include <cmath>
#include <set>
#include <string>

#include "sandbox/cues/machine.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

Status check_age(const Machine& machine, std::uint64_t uptime_seconds, const std::string& source) {
  if (machine.age_days < 0 && !machine.recent) return ok();
  const std::string place =
      source + " at /machine/processes/" + (machine.recent ? "recent" : "age_days");
  if (machine.claims_container == "none")
    return fail("read persona", place, "is a container's, and this machine is none",
                "leave it out, or name the container in /machine/claims/container");
  if (machine.recent && machine.age_days >= 0)
    return fail("read persona", place, "stands beside age_days", "leave one out");
  // It counts from the day's start, which is up to a day before the run.
  const double least = machine.recent ? 1.0 : machine.age_days + 1;
  if (least * 86400 > static_cast<double>(uptime_seconds))
    return fail("read persona", place, "the container would be older than the machine it runs on",
                "make uptime_days at least " + std::to_string(std::llround(std::ceil(least))));
  return ok();
}

}  // namespace

Status check_machine(const Machine& machine, std::uint64_t uptime_seconds,
                     std::string_view source) {
  const std::string file(source);
  GYGES_CHECK(check_age(machine, uptime_seconds, file));
  std::set<std::string> points;
  for (std::size_t i = 0; i < machine.disks.size(); ++i) {
    const Disk& disk = machine.disks[i];
    const std::string place = file + " at /machine/disks/" + std::to_string(i) + "/partitions";
    bool free = disk.partitions.empty();
    for (std::size_t k = 0; k < disk.partitions.size(); ++k) {
      const std::string& mount = disk.partitions[k].mount;
      free = free || mount.empty();
      if (!mount.empty() && !points.insert(mount).second)
        return fail("read persona", place + "/" + std::to_string(k) + "/mount",
                    mount + " is another partition's", "mount one of them elsewhere");
    }
    if (i == 0 && !free)
      return fail("read persona", place, "all are mounted, and none is left for the root",
                  "leave out the mount of the one that holds the root");
  }
  return ok();
}

}  // namespace gyges::cues
