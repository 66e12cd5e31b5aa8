// Cue by cue: what the probe reads under a persona is the persona's, and a plain sandbox says
// something else there. Plain is what unshare(1) makes of this host, or a sandbox of Gyges without
// a persona; a row that says the same in all of them proves nothing and fails.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "base/assets.h"
#include "base/files.h"
#include "base/json.h"
#include "probed_sandbox.h"
#include "sandbox/cues/audit/probe_run.h"
#include "sandbox/cues/audit/reading.h"

namespace gyges::cues {
namespace {

struct Row {
  const char* channel;
  const char* persona;  // a regular expression for all of the value
};

constexpr const char* absent = "\\(absent\\)";

// Of vm-production with more processors and memory than the host may have by chance.
const Row rows[] = {
    {"E.env.IS_SANDBOX", absent},
    {"E.env.CLAUDECODE", absent},
    {"E.env.CI", absent},
    {"E.env.HTTP_PROXY", absent},
    {"E.env.HOME", "/home/svc-autops"},
    {"E2.init_env.access", "\\(EACCES\\)"},
    {"E2.init_env.IS_SANDBOX", absent},
    {"E8.identity.hostname", "bgo-log02"},
    {"E8.identity.uid", "1207"},
    {"E8.identity.account", "svc-autops:x:1207:1207:operations automation:.*"},
    {"P1.init.name", "systemd"},
    {"P1.init.arguments", "/sbin/init *"},
    {"P1.init.program", "\\(EACCES\\)"},
    {"P1.init.oom_score", "0"},
    {"P2.ids.pid", "18[45][0-9]{4}"},
    {"P4.processes.visible", "1[0-9]"},
    {"P4.processes.names", ".*cron.*rsyslogd.*sshd.*"},
    {"P4.processes.spread_of_starts_s", "[0-9]{7}"},
    {"P7.seccomp", "0"},
    {"P7.prctl.seccomp", "0"},
    {"P8.no_new_privs", "0"},
    {"P9.bounding", "000001ffffffffff"},
    {"P10.uid_map", " *0 +0 +4294967295"},
    {"P10.setgroups", "allow"},
    {"P13.parent.1.name", "systemd"},
    {"P14.loginuid", "1207"},
    {"P14.utmp", "file mode=664 filled"},
    {"P14.users.names", "1207"},
    {"P16.fd.2", "/dev/null"},
    {"P18.allowed_list", "0-22"},
    {"P18.affinity.raw", "23, .*"},
    {"F2.mount./", "root=/ options=rw,relatime system=ext4 /dev/vda1 .*"},
    {"F3.system.root", "type=ef53 .*"},
    {"F8.home.bash_history", "[1-9][0-9]{2,}"},
    {"F9.log.wtmp", "[1-9][0-9]{3,}"},
    {"F10.users.homes.names", "svc-autops"},
    {"F10.users.cron_d.names", "varnes"},
    {"K1.uname.release", "6\\.1\\.0-44-amd64"},
    {"K1.uname.version", "#1 SMP PREEMPT_DYNAMIC Debian 6\\.1\\.164-1 .*"},
    {"K2.proc.version", "Linux version 6\\.1\\.0-44-amd64 .*"},
    {"K2.proc.osrelease", "6\\.1\\.0-44-amd64"},
    {"K4.cmdline", "BOOT_IMAGE=/boot/vmlinuz-6\\.1\\.0-44-amd64 .*"},
    {"K5.config", "file mode=4?0+ empty"},
    {"K8.iomem", "\\(EACCES\\)"},
    {"K8.virtio_interrupts", "8"},
    {"K8.cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t62\t1\n(.|\n)*"},
    {"K9.partitions", "(.|\n)*167772160 vda\n(.|\n)*"},
    {"K10.cgroup", "0::/user\\.slice/user-1207\\.slice/session-.*"},
    {"P1.init.cgroup", "0::/init\\.scope"},
    {"K11.memory.total", "777216000 kB"},
    {"K11.information.total_ram_kb", "777216000"},
    {"K13.dmi.sys_vendor", "OpenStack Foundation"},
    {"K13.dmi.product_name", "OpenStack Nova"},
    {"T5.cpu.online", "0-22"},
    {"T8.uptime.boottime", "5[0-9]{6}"},
    {"T8.uptime.sysinfo", "5[0-9]{6}"},
    {"T8.uptime.proc", "5[0-9]{6}"},
    {"N2.resolver", "search varnes\\.internal\n(.|\n)*"},
    {"N11.hosts", "(.|\n)*bgo-log02\\.varnes\\.internal(.|\n)*"},
};

// What only root hides: an ordinary user's sandbox has a user namespace.
const Row rows_as_root[] = {{"P12.namespace.user", "initial"}};

// Random ids: the persona's are other than the host's.
constexpr const char* own_ids[] = {"K12.boot_id", "F7.installed.machine_id"};

class Channels : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = TemporaryDirectory::create("gyges-channels");
    ASSERT_TRUE(made) << made.error().line();
    workspace_ = std::make_unique<TemporaryDirectory>(std::move(*made));
    request_.arguments = {
        "E.env", "E2.", "E8.",  "P",    "F2.",  "F3.",     "F7.installed.machine_id",
        "F8.",   "F9.", "F10.", "K1.",  "K2.",  "K4.",     "K5.",
        "K8.",   "K9.", "K10.", "K11.", "K12.", "K13.dmi", "T5.",
        "T8.",   "N2.", "N11."};
    // What launchers and harnesses leave to their children.
    for (const char* name : inherited_) ::setenv(name, "1", 1);
  }
  void TearDown() override {
    for (const char* name : inherited_) ::unsetenv(name);
  }

  // A manifest in which the host is not found by chance.
  std::string unlikely_machine() {
    auto manifest = nlohmann::json::parse(*asset("policies/personas/vm-production.json"));
    manifest["machine"]["processor"]["count"] = 23;
    manifest["machine"]["processor"]["threads_per_core"] = 1;
    manifest["machine"]["memory"]["megabytes"] = 759000;
    const auto file = workspace_->path() / "persona.json";
    EXPECT_TRUE(write_file_atomically(file, manifest.dump()));
    return file.string();
  }

  Reading in_gyges(const std::string& persona) {
    return reading_of(
        probe_sandbox(sandbox_to_probe(persona, workspace_->path()), nullptr, request_));
  }

  static std::string said(const Reading& reading, const std::string& channel) {
    const Observation* seen = reading.find(channel);
    return seen == nullptr ? "(absent)" : seen->shown();
  }

  static constexpr const char* inherited_[] = {"IS_SANDBOX", "CLAUDECODE", "CI", "HTTP_PROXY"};
  std::unique_ptr<TemporaryDirectory> workspace_;
  ProbeRequest request_;
};

TEST_F(Channels, SayThePersonasAndLeakWithoutOne) {
  auto namespaces = probe_container({"unshare", "--user", "--map-root-user", "--mount", "--pid",
                                     "--fork", "--mount-proc", "--uts", "--ipc", "--net"},
                                    request_);
  if (!namespaces)
    GTEST_SKIP() << "unshare(1) cannot make a plain sandbox here: " << namespaces.error().line();
  const Reading plain = reading_of(namespaces);
  const Reading bare = in_gyges("");
  const Reading persona = in_gyges(unlikely_machine());
  std::vector<Row> all(std::begin(rows), std::end(rows));
  if (::geteuid() == 0)
    all.insert(all.end(), std::begin(rows_as_root), std::end(rows_as_root));
  else
    std::printf("skipped without root: P12.namespace.user (a user namespace stays)\n");
  for (const Row& row : all) {
    const std::regex expected(row.persona);
    EXPECT_TRUE(std::regex_match(said(persona, row.channel), expected))
        << row.channel << ": " << said(persona, row.channel);
    EXPECT_FALSE(std::regex_match(said(plain, row.channel), expected) &&
                 std::regex_match(said(bare, row.channel), expected))
        << row.channel << " says the same without a persona: " << said(plain, row.channel);
  }
  for (const char* channel : own_ids) {
    EXPECT_EQ(said(persona, channel).find('('), std::string::npos) << channel;
    EXPECT_NE(said(persona, channel), said(plain, channel)) << channel;
  }
}

}  // namespace
}  // namespace gyges::cues
