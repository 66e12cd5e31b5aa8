// Cue by cue: what the probe reads under a persona is the persona's, and a plain sandbox says
// something else there. Plain is what unshare(1) makes of this host, or a sandbox of Gyges without
// a persona; a row that says the same in all of them proves nothing and fails.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "base/assets.h"
#include "base/files.h"
#include "base/json.h"
#include "probed_sandbox.h"
#include "sandbox/cues/audit/consistency.h"
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
    {"P4.processes.visible", "[3-9][0-9]"},
    {"P4.processes.kernel_threads", "[2-9][0-9]"},
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
    {"F10.users.homes.names", "abrandvold lost\\+found mkolstad svc-autops"},
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
    {"K11.memory.total", "777216004 kB"},
    {"K11.blocks", "80000000"},
    {"K11.information.total_ram_kb", "777216004"},
    {"K13.dmi.sys_vendor", "Red Hat"},
    {"K13.dmi.product_name", "KVM"},
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
    request_.arguments = {"E.env", "E2.", "E8.",  "P",    "F2.",  "F3.",  "F7.installed.machine_id",
                          "F8.",   "F9.", "F10.", "K1.",  "K2.",  "K4.",  "K5.",
                          "K7.",   "K8.", "K9.",  "K10.", "K11.", "K12.", "K13.dmi",
                          "F1.",   "T5.", "T8.",  "N2.",  "N11."};
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

// What each shipped persona's manifest says of a channel; nothing where it says none.
using Manifest = nlohmann::json;
using Said = std::optional<std::string>;

bool is_container(const Manifest& persona) {
  return persona.at("machine").at("claims").at("container") != "none";
}

std::string literal(const std::string& text) {
  static const std::regex special(R"([.^$|()\[\]{}*+?\\])");
  return std::regex_replace(text, special, R"(\$&)");
}

Said in_kernel(const Manifest& persona, const char* name) {
  return literal(persona.at("machine").at("kernel").at(name));
}

Said in_dmi(const Manifest& persona, const char* name) {
  const Manifest& dmi = persona.at("machine").at("dmi");
  return dmi.contains(name) && dmi.at(name) != "" ? Said(literal(dmi.at(name))) : std::nullopt;
}

// All of the words, in this order, with anything between.
template <typename Words>
std::string in_order(const Words& words) {
  std::string pattern = "(.|\n)*";
  for (const std::string& word : words) pattern += literal(word) + "(.|\n)*";
  return pattern;
}

struct ManifestRow {
  const char* channel;
  Said (*persona)(const Manifest&);  // a regular expression for all of the value
};

const ManifestRow manifest_rows[] = {
    {"K1.uname.release", [](const Manifest& of) { return in_kernel(of, "release"); }},
    {"K1.uname.version", [](const Manifest& of) { return in_kernel(of, "version"); }},
    {"K2.proc.osrelease", [](const Manifest& of) { return in_kernel(of, "release"); }},
    {"K2.proc.sysversion", [](const Manifest& of) { return in_kernel(of, "version"); }},
    {"K4.cmdline",
     [](const Manifest& of) {
       static const std::regex drawn(R"(\\\{uuid\\\})");
       return Said(std::regex_replace(*in_kernel(of, "command_line"), drawn, "[0-9a-f-]{36}"));
     }},
    {"K7.pci_functions.names",
     [](const Manifest& of) -> Said {
       std::set<std::string> names;
       for (const Manifest& one : of.at("machine").at("pci"))
         if (const std::string slot = one.at("slot"); slot.starts_with("0000:00:"))
           names.insert(slot.substr(8));
       std::string all;
       for (const std::string& name : names) all += (all.empty() ? "" : " ") + literal(name);
       return all;
     }},
    {"K8.handlers.names",
     [](const Manifest& of) -> Said {
       std::string handlers;
       std::size_t count = 0;
       for (const std::string line : of.at("machine").at("interrupts")) {
         handlers += (count++ == 0 ? "(" : "|") + literal(line.substr(0, line.find(' '))) + "/" +
                     literal(line.substr(line.rfind(' ') + 1));
       }
       return "(" + handlers + ") ?){" + std::to_string(count) + "}";
     }},
    {"K8.interrupts",
     [](const Manifest& of) -> Said {
       // The heading, two lines of errors and those of the processors.
       return std::to_string(of.at("machine").at("interrupts").size() + 17);
     }},
    {"K9.block.names",
     [](const Manifest& of) {
       return Said(literal(of.at("machine").at("disks").at(0).at("name")));
     }},
    {"K9.partitions",
     [](const Manifest& of) -> Said {
       std::vector<std::string> names;
       for (const Manifest& part : of.at("machine").at("disks").at(0).at("partitions"))
         names.push_back(part.at("name"));
       return in_order(names);
     }},
    {"K9.file_systems.names",
     [](const Manifest& of) -> Said {
       const Manifest& disk = of.at("machine").at("disks").at(0);
       return "(.|\n)*" + literal(disk.at("name")) + "p?[0-9]+-8(.|\n)*";
     }},
    {"K11.memory.total",
     [](const Manifest& of) -> Said {
       const auto megabytes = of.at("machine").at("memory").at("megabytes").get<std::uint64_t>();
       // And the pages that no whole megabyte has.
       return std::to_string(megabytes * 1024 + (1 + megabytes * 7919 % 250) * 4) + " kB";
     }},
    {"K13.dmi.sys_vendor", [](const Manifest& of) { return in_dmi(of, "sys_vendor"); }},
    {"K13.dmi.product_name", [](const Manifest& of) { return in_dmi(of, "product_name"); }},
    {"K13.dmi.bios_version", [](const Manifest& of) { return in_dmi(of, "bios_version"); }},
    {"P1.init.name",
     [](const Manifest& of) {
       return Said(literal(of.at("machine").at("processes").at("init").at("name")));
     }},
    {"P7.seccomp", [](const Manifest& of) { return Said(is_container(of) ? "2" : "0"); }},
    {"P14.loginuid",
     [](const Manifest& of) -> Said {
       if (is_container(of)) return std::nullopt;
       return std::to_string(of.at("identity").at("uid").get<unsigned>());
     }},
    {"F2.mount./",
     [](const Manifest& of) {
       return Said(is_container(of) ? ".* system=overlay .*" : ".* system=ext4 /dev/.*");
     }},
    {"F3.system.root",
     [](const Manifest& of) {
       return Said(is_container(of) ? "type=794c7630 .*" : "type=ef53 .*");
     }},
    {"F1.marker.dockerenv",
     [](const Manifest& of) -> Said {
       // Nowhere is it where there is no Docker.
       if (of.at("machine").at("claims").at("container") != "docker") return std::nullopt;
       return "file .*";
     }},
    {"K10.cgroup",
     [](const Manifest& of) { return Said(is_container(of) ? "0::/" : "0::/user\\.slice/.*"); }},
    {"E8.identity.uid",
     [](const Manifest& of) -> Said {
       return std::to_string(of.at("identity").at("uid").get<unsigned>());
     }},
    {"T8.uptime.boottime",
     [](const Manifest& of) -> Said {
       // As many digits as the persona's days have seconds: no host of tests has been up as long.
       const double seconds = of.at("uptime_days").get<double>() * 86400;
       return "[0-9]{" + std::to_string(std::to_string(static_cast<long>(seconds)).size()) + ",8}";
     }},
    {"N2.resolver",
     [](const Manifest& of) {
       return Said(in_order(of.at("network").at("nameservers").get<std::vector<std::string>>()));
     }},
};

// Rows in which a container is a plain sandbox by its nature.
const std::set<std::string> same_in_plain = {"E8.identity.uid", "K10.cgroup", "P7.seccomp",
                                             "T8.uptime.boottime"};

TEST_F(Channels, SayWhatTheManifestSaysUnderEveryPersona) {
  auto namespaces = probe_container({"unshare", "--user", "--map-root-user", "--mount", "--pid",
                                     "--fork", "--mount-proc", "--uts", "--ipc", "--net"},
                                    request_);
  if (!namespaces)
    GTEST_SKIP() << "unshare(1) cannot make a plain sandbox here: " << namespaces.error().line();
  const Reading plain = reading_of(namespaces);
  const Reading bare = in_gyges("");
  for (std::string_view file : assets_below("policies/personas/")) {
    const auto manifest = nlohmann::json::parse(*asset(file));
    if (!manifest.contains("machine")) continue;
    const std::string name = manifest.at("name");
    SCOPED_TRACE(name);
    const Reading reading = in_gyges(name);
    for (const ManifestRow& row : manifest_rows) {
      const Said expected = row.persona(manifest);
      if (!expected) continue;
      // A letter of the host's maker of processors stands in names of clouds' machines.
      std::string text = *expected;
      const std::string_view maker = R"(\{maker\})";
      if (const std::size_t at = text.find(maker); at != std::string::npos)
        text.replace(at, maker.size(), "[ai]");
      const std::regex pattern(text);
      EXPECT_TRUE(std::regex_match(said(reading, row.channel), pattern))
          << row.channel << ": " << said(reading, row.channel) << " is not " << *expected;
      if (same_in_plain.contains(row.channel)) continue;
      EXPECT_FALSE(std::regex_match(said(plain, row.channel), pattern) &&
                   std::regex_match(said(bare, row.channel), pattern))
          << row.channel << " says the same without a persona: " << said(plain, row.channel);
    }
    // And nothing in it says otherwise, but what no file can hide.
    for (const Contradiction& one : find_contradictions(reading)) {
      std::string readings;
      for (const auto& [channel, value] : one.readings) readings += channel + "=" + value + " ";
      EXPECT_TRUE(one.severity < Severity::critical || one.fact == "hypervisor bit")
          << one.fact << ": " << readings;
    }
  }
}

}  // namespace
}  // namespace gyges::cues
