// What a manifest can say of a machine that no machine is.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <string_view>

#include "base/text.h"
#include "sandbox/cues/machine.h"
#include "sandbox/cues/machine_trees.h"

namespace gyges::cues {
namespace {

Status check_age(const Machine& machine, std::uint64_t uptime_seconds, const std::string& source) {
  if (machine.age_days < 0 && !machine.recent) return ok();
  const std::string place =
      source + " at /machine/processes/" + (machine.recent ? "recent" : "age_days");
  if (machine.claims_container == "none")
    return fail("read persona", place, "is a container's, and this machine claims to be none",
                "leave it out, or name the container in /machine/claims/container");
  if (machine.recent && machine.age_days >= 0)
    return fail("read persona", place, "stands beside age_days", "leave one out");
  // It counts from the day's start, which is up to a day before the run.
  const double least = (machine.recent ? 0 : machine.age_days) + 1;
  if (least * 86400 > static_cast<double>(uptime_seconds))
    return fail("read persona", place, "the container is older than the machine that it runs on",
                fmt::format("{}uptime_days {} at least",
                            machine.recent ? "make " : "make it smaller, or ", std::ceil(least)));
  return ok();
}

// Where the kernel and systemd mount their own, and what has to be there before anything is
// mounted.
bool is_of_the_root(std::string_view point) {
  static constexpr std::array kernels{"/dev", "/proc", "/run", "/sys"};
  static constexpr std::array started{"/bin", "/etc", "/lib", "/sbin"};
  const auto at_or_below = [&](std::string_view top) {
    return point == top || (point.starts_with(top) && point[top.size()] == '/');
  };
  return std::any_of(kernels.begin(), kernels.end(), at_or_below) ||
         std::any_of(started.begin(), started.end(), at_or_below);
}

Status check_partitions(const Disk& disk, const std::string& place) {
  std::uint64_t megabytes = 0;
  std::set<unsigned> numbers;
  for (std::size_t i = 0; i < disk.partitions.size(); ++i) {
    const Partition& part = disk.partitions[i];
    const std::string at = fmt::format("{}/{}", place, i);
    if (!part.name.starts_with(disk.name) || part.number == 0 ||
        !numbers.insert(part.number).second)
      return fail(
          "read persona", at + "/name",
          quoted(part.name) + " is not a partition of its own of the disk " + quoted(disk.name),
          "name it by the disk and a number that no other one has");
    if (!part.mount.empty() && is_of_the_root(part.mount))
      return fail("read persona", at + "/mount",
                  quoted(part.mount) + " is on no machine a partition's",
                  "mount it where data is, for example at /srv");
    megabytes += part.megabytes;
  }
  if (megabytes > disk.megabytes)
    return fail("read persona", place,
                fmt::format("they have {} MB, and the disk {}", megabytes, disk.megabytes),
                "make them smaller, or the disk larger");
  return ok();
}

}  // namespace

Status check_machine(const Machine& machine, std::uint64_t uptime_seconds,
                     const std::string& source) {
  GYGES_CHECK(check_age(machine, uptime_seconds, source));
  std::set<std::string> points;
  for (std::size_t i = 0; i < machine.disks.size(); ++i) {
    const Disk& disk = machine.disks[i];
    const std::string place = fmt::format("{} at /machine/disks/{}/partitions", source, i);
    GYGES_CHECK(check_partitions(disk, place));
    bool free = disk.partitions.empty();
    for (std::size_t k = 0; k < disk.partitions.size(); ++k) {
      const std::string& mount = disk.partitions[k].mount;
      free = free || mount.empty();
      if (!mount.empty() && !points.insert(mount).second)
        return fail("read persona", fmt::format("{}/{}/mount", place, k),
                    quoted(mount) + " is another partition's", "mount one of them elsewhere");
    }
    if (i == 0 && !free)
      return fail("read persona", place, "all are mounted, and none is left for the root",
                  "leave out the mount of the one that holds the root");
  }
  return ok();
}

}  // namespace gyges::cues
