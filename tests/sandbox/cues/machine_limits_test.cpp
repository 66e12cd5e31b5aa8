// What programs that list a machine ask for: disks with their counts, room, limits, types of file
// systems. Under every machine that is shipped.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "sandbox/isolation/emulation.h"
#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* machines[] = {"vm-production", "kubernetes-pod", "docker-service",
                                    "developer-laptop", "ci-runner"};

class MachineLimits : public isolation::SandboxTest {
 protected:
  std::string say(const std::string& command) { return run(command).output; }
};

// iostat goes by /sys/block/DISK/stat alone; facter and lsblk leave out a disk that is no part of a
// device.
TEST_F(MachineLimits, DisksHaveADeviceAndCountsWhereProgramsLook) {
  const std::string counts =
      "for d in $(ls /sys/block); do for p in /sys/block/$d $(ls -d /sys/block/$d/$d*); do "
      "set -- $(cat $p/stat); awk -v n=${p##*/} -v r=$1 -v w=$5 -v f=$# "
      "'$3 == n { print (f == 17 && NF == 20), ($4 - r) ^ 2 < 10000, ($8 - w) ^ 2 < 10000 }' "
      "/proc/diskstats; done; done | sort | uniq -c | sed 's/^ *//'";
  for (const char* name : machines) {
    start(spec_of(name, 5));
    // The disk and its partitions.
    EXPECT_EQ(say(counts), say("grep -c '[0-9] [vn]' /proc/partitions").substr(0, 1) + " 1 1 1\n")
        << name;
    EXPECT_EQ(say("for d in /sys/block/*; do test -d $d/device && cat $d/queue/minimum_io_size; "
                  "done"),
              "512\n")
        << name;
    EXPECT_EQ(
        say("a=$(cat /sys/block/*/stat); n=0; while [ \"$a\" = \"$(cat /sys/block/*/stat)\" ] "
            "&& [ $n -lt 200 ]; do sleep 0.1; n=$((n + 1)); done; "
            "[ \"$a\" != \"$(cat /sys/block/*/stat)\" ] && echo moved"),
        "moved\n")
        << name;
    EXPECT_EQ(say("(echo 1 > $(ls -d /sys/block/*)/stat) 2> /dev/null || echo closed"), "closed\n")
        << name;
  }
}

// The driver of what the machine has is among its modules.
TEST_F(MachineLimits, DriversOfDisksAreLoaded) {
  for (const char* name : machines) {
    start(spec_of(name, 5));
    const bool virtual_disk = say("ls /sys/block").starts_with("vd");
    const std::string modules = say("cut -d ' ' -f 1 /proc/modules");
    EXPECT_THAT(modules, HasSubstr(virtual_disk ? "virtio_blk\n" : "nvme\n")) << name;
    EXPECT_THAT(modules, Not(HasSubstr(virtual_disk ? "nvme\n" : "virtio_blk\n"))) << name;
  }
}

// df shows the files that a container's manager mounts from the disk that the root is on.
TEST_F(MachineLimits, OneDiskHasOneRoom) {
  for (const char* name : {"kubernetes-pod", "docker-service", "ci-runner"}) {
    start(spec_of(name, 5));
    const std::string room = say("stat -f -c '%b %f %a %c %d' /");
    EXPECT_EQ(say("stat -f -c '%b %f %a %c %d' /etc/hosts"), room) << name;
    EXPECT_NE(say("stat -f -c '%b %f %a %c %d' /dev/shm"), room) << name;
  }
}

// file-nr names the limit too, and a kernel's own would tell its memory.
TEST_F(MachineLimits, OpenFilesHaveOneLimit) {
  for (const char* name : machines) {
    start(spec_of(name, 5));
    EXPECT_EQ(say("cut -f 2,3 /proc/sys/fs/file-nr; cat /proc/sys/fs/file-max"),
              "0\t9223372036854775807\n9223372036854775807\n")
        << name;
    EXPECT_EQ(say("cat /proc/sys/kernel/tainted /proc/sys/fs/protected_regular"), "0\n2\n") << name;
  }
}

// Tables of the network follow from the memory; their number is negative in every network namespace
// but a machine's first. The control is the kernel's own.
TEST_F(MachineLimits, TablesOfTheNetworkAreOfTheMachine) {
  const std::string tables =
      "cd /proc/sys/net/ipv4; echo $(cat tcp_ehash_entries tcp_max_tw_buckets "
      "tcp_max_syn_backlog)";
  for (const char* name : machines) {
    SandboxSpec spec = spec_of(name, 5);
    start(spec);
    const std::int64_t kilobytes =
        std::atoll(say("awk '/^MemTotal/ {print $2}' /proc/meminfo").c_str());
    std::int64_t buckets = 1;
    while (buckets * 128 < kilobytes) buckets *= 2;
    const bool machine = say("cat /proc/self/cgroup") != "0::/\n";
    EXPECT_EQ(say(tables),
              fmt::format("{} {} {}\n", machine ? buckets : -buckets, buckets / 2, buckets / 128))
        << name;
    // Which kernels before 6.8 do not have in such a namespace.
    EXPECT_THAT(say("cat /proc/sys/net/core/rmem_max 2> /dev/null"), AnyOf("212992\n", "")) << name;
    EXPECT_EQ(say("cat /proc/sys/net/unix/max_dgram_qlen"), machine ? "512\n" : "10\n") << name;
    spec.policy.cues.proc_files = false;
    start(spec);
    EXPECT_TRUE(say(tables).starts_with("-")) << name;
  }
}

// Where root starts it they are answered at their opening; else, and without the answers, files
// cover the kernel's. Programs read the same.
TEST_F(MachineLimits, FilesThatDoNotMoveSayTheSameEitherWay) {
  const std::string all =
      "cat /proc/partitions /proc/version; cd /proc/sys/kernel; cat threads-max osrelease; ln -sf "
      "/proc/sys/kernel/threads-max /tmp/link; cat /tmp/link";
  const std::string device =
      "[ $(stat -c %d /proc/partitions) = $(stat -c %d /proc/uptime) ] || "
      "stat -c %s /proc/partitions";
  for (const char* name : machines) {
    SandboxSpec spec = spec_of(name, 5);
    start(spec);
    const std::string said = say(all);
    EXPECT_THAT(said, HasSubstr(spec.disguise->emulation->release)) << name;
    EXPECT_EQ(say(device) == "0\n", ::geteuid() == 0) << name;
    std::erase(spec.policy.cues.emulate, "process_files");
    start(spec);
    EXPECT_EQ(say(all), said) << name;
    EXPECT_NE(say(device), "0\n") << name;
    spec.policy.cues.proc_files = false;
    start(spec);
    EXPECT_NE(say(all), said) << name;
  }
}

// Runtimes take the least of a group's limits, and some one that is missing for 0.
TEST_F(MachineLimits, AGroupHasAllOfItsLimits) {
  const std::string group = "cd /sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup); ";
  for (const char* name : machines) {
    SandboxSpec spec = spec_of(name, 5);
    const std::string container = std::string(name) == "kubernetes-pod" ? "0" : "the same";
    start(spec);
    EXPECT_EQ(say(group + "cat memory.high memory.low memory.min pids.max; "
                          "cat memory.events | wc -l"),
              "max\n0\n0\nmax\n6\n")
        << name;
    // What is held is what is counted.
    EXPECT_EQ(
        say(group +
            "awk '$1 ~ /^(anon|file|kernel)$/ {s += $2} END {printf \"%.0f\\n\", s}' memory.stat"),
        say(group + "cat memory.current"))
        << name;
    const bool machine = say("cat /proc/self/cgroup") != "0::/\n";
    if (machine) continue;
    EXPECT_EQ(say(group + "test $(cat memory.swap.max) = $(cat memory.max) && echo the same || "
                          "cat memory.swap.max"),
              container + "\n")
        << name;
    EXPECT_EQ(say("cat /sys/fs/cgroup/cpuset.cpus.effective"),
              say("cat /sys/devices/system/cpu/online"))
        << name;
    EXPECT_EQ(say("awk '/usage_usec/ {print ($2 > 1000000)}' /sys/fs/cgroup/cpu.stat"), "1\n")
        << name;
  }
}

// The host's kernel would list what it was built for.
TEST_F(MachineLimits, TypesOfFileSystemsAreOfThePersonasKernel) {
  const std::string unknown =
      "awk 'FNR == NR { known[$NF] = 1; next } !($3 in known) { print $3 }' /proc/filesystems "
      "/proc/self/mounts";
  for (const char* name : machines) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(unknown), "") << name;
    EXPECT_THAT(say("cat /proc/filesystems"), Not(HasSubstr("erofs"))) << name;
    EXPECT_THAT(say("cat /proc/filesystems"), HasSubstr("nodev\tbdev\n")) << name;
  }
}

}  // namespace
}  // namespace gyges::cues
