// Detectors that this project did not write, under every persona that is shipped: they say what the
// persona claims.
#include <cpuid.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "base/assets.h"
#include "base/json.h"
#include "tests/end_to_end/gyges_process.h"

namespace gyges {
namespace {

std::vector<std::string> personas() {
  std::vector<std::string> names;
  for (std::string_view file : assets_below("policies/personas/"))
    if (file.ends_with(".json"))
      names.emplace_back(file.substr(file.rfind('/') + 1, file.size() - file.rfind('/') - 6));
  return names;
}

struct Claims {
  bool machine = false;  // the persona is one at all
  std::string vm, container;
};

Claims claims_of(const std::string& persona) {
  const auto manifest = nlohmann::json::parse(*asset("policies/personas/" + persona + ".json"));
  if (!manifest.contains("machine")) return {};
  const nlohmann::json& claims = manifest.at("machine").at("claims");
  return {true, claims.at("vm"), claims.at("container")};
}

using Words = std::set<std::string>;

// What a detector may say under these claims; each of its words must be one of `may`, and one of
// `must` has to be there unless that is empty.
struct Expected {
  Words may, must;
};

struct Detector {
  std::string name;
  std::string command;  // of a shell
  bool containers;      // it looks for containers; without: for virtual machines
  Expected (*expected)(const Claims&);
};

Expected exactly(const std::string& word) {
  return {{word}, {word}};
}

// Amazon's machines are KVM; who does not read the firmware says so.
Expected hypervisor(const Claims& claims, const std::string& kvm, const std::string& none) {
  if (claims.vm == "none") return {{none}, {}};
  return {{kvm, "aws"}, {kvm}};
}

const std::vector<Detector>& detectors() {
  static const std::vector<Detector> all = {
      {"systemd-detect-virt", "systemd-detect-virt --vm", false,
       [](const Claims& claims) { return exactly(claims.vm); }},
      {"systemd-detect-virt", "systemd-detect-virt --container", true,
       [](const Claims& claims) { return exactly(claims.container); }},
      {"lscpu", "LC_ALL=C lscpu | sed -n 's/^Hypervisor vendor: *//p'", false,
       [](const Claims& claims) { return hypervisor(claims, "KVM", ""); }},
      // It refuses to work for other users than root: it is told that it is root.
      {"virt-what",
       "mkdir -p /tmp/as && printf '#!/bin/sh\\necho 0\\n' > /tmp/as/id && chmod +x /tmp/as/id && "
       "PATH=/tmp/as:/usr/sbin:$PATH virt-what 2> /dev/null",
       false,
       [](const Claims& claims) {
         Expected expected = hypervisor(claims, "kvm", "");
         // It knows Docker by its mark, and not what Kubernetes uses.
         if (claims.container == "docker") {
           expected.may.insert("docker");
           expected.must = {"docker"};
         }
         return expected;
       }},
  };
  return all;
}

bool installed(const std::string& program) {
  for (const char* place : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"})
    if (std::filesystem::exists(place + program)) return true;
  return false;
}

bool host_is_kvm() {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  __cpuid(0x40000000, a, b, c, d);
  return b == 0x4b4d564b;  // "KVMK"
}

Words words_of(const std::string& text) {
  Words words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.insert(word);
  return words;
}

bool fits(const Words& said, const Expected& expected) {
  const bool all = std::all_of(said.begin(), said.end(),
                               [&](const auto& word) { return expected.may.contains(word); });
  const bool any = std::any_of(expected.must.begin(), expected.must.end(),
                               [&](const auto& word) { return said.contains(word); });
  return all && (any || expected.must.empty());
}

// Whether the audit lists what detectors of this kind go by. Not the channel of a detector alone,
// which a loaded machine may not have let finish.
bool says(const nlohmann::json& document, const std::string& kind) {
  const std::vector<std::string> reasons =
      kind == "vm" ? std::vector<std::string>{"C.", "T1.", "T2.", "K13.", "K7.", "K9.", "K2."}
                   : std::vector<std::string>{"C.",
                                              "F1.marker.",
                                              "K10.cgroup",
                                              "P1.init.cgroup",
                                              "E.env.container",
                                              "E2.init_env.container"};
  for (const auto& leak : document.at("leaks"))
    for (const std::string& reason : reasons)
      if (leak.at("speaks_of") == kind && leak.at("channel").get<std::string>().starts_with(reason))
        return true;
  return false;
}

class Detectors : public EndToEnd, public ::testing::WithParamInterface<std::string> {
 protected:
  nlohmann::json audit(const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {"cues", "audit",      "--json", "--rounds",
                                        "1",    "--recorder", "off"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Finished done = gyges(command);
    EXPECT_LE(done.status, 1) << done.error;
    nlohmann::json document = nlohmann::json::parse(done.output, nullptr, false);
    EXPECT_TRUE(document.is_object()) << done.output.substr(0, 200);
    return document;
  }
};

// Word for word, with two exceptions that are stated: a persona that is no machine claims nothing,
// and what CPUID says no sandbox can change, which the audit then lists.
TEST_P(Detectors, SayWhatThePersonaClaims) {
  const Claims claims = claims_of(GetParam());
  if (!claims.machine) GTEST_SKIP() << GetParam() << " hides nothing and claims nothing";
  for (const Detector& detector : detectors()) {
    if (!installed(detector.name)) {
      std::printf("skipped: %s is not installed (scripts/packages.txt)\n", detector.name.c_str());
      continue;
    }
    const Finished ran =
        gyges({"run", "-q", "--recorder", "off", "--persona", GetParam(), "--workspace",
               directory_->path().string(), "--", "sh", "-c", detector.command});
    const Words said = words_of(ran.output);
    const std::string words = detector.command + " says '" + ran.output + "' under " + GetParam();
    if (fits(said, detector.expected(claims))) continue;
    ASSERT_FALSE(detector.containers) << words;
    std::printf("cannot be hidden: %s\n", words.c_str());
    // A persona that claims KVM, on another hypervisor or on none: CPUID tells, and is no leak of
    // the kind that it claims.
    if (claims.vm != "none" && !host_is_kvm()) continue;
    const nlohmann::json document = audit({"--persona", GetParam()});
    ASSERT_TRUE(document.is_object());
    EXPECT_TRUE(says(document, "vm")) << words << ", and the audit does not list why";
  }
}

INSTANTIATE_TEST_SUITE_P(Personas, Detectors, ::testing::ValuesIn(personas()),
                         [](const auto& chosen) {
                           std::string name = chosen.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// What everyday programs list: under a machine the kernel's threads, its modules, the root's
// number and a service's group; under every persona interfaces, and caches as CPUID has them. The
// control is a sandbox without a persona.
TEST_P(Detectors, EverydayProgramsListWhatThePersonaHas) {
  const Claims claims = claims_of(GetParam());
  if (!claims.machine) GTEST_SKIP() << GetParam() << " hides nothing and claims nothing";
  const bool machine = claims.container == "none";
  auto says = [&](const std::vector<std::string>& persona, const std::string& command) {
    std::vector<std::string> whole = {"run", "-q",          "--recorder",
                                      "off", "--workspace", directory_->path().string()};
    whole.insert(whole.end(), persona.begin(), persona.end());
    whole.insert(whole.end(), {"--", "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; " + command});
    return gyges(whole).output;
  };
  const std::vector<std::string> persona = {"--persona", GetParam()};
  const std::string threads = "ps -e -o ppid=,comm= | grep -c '^ *2 '";
  const std::string first = "ps -e -o pid=,comm= | grep -c '^ *2 kthreadd$'";
  EXPECT_EQ(says({}, first), "0\n");
  EXPECT_EQ(says(persona, first), machine ? "1\n" : "0\n");
  const std::string shown = says(persona, threads);
  EXPECT_EQ(std::atoi(shown.c_str()) > 20, machine) << shown;
  EXPECT_EQ(says({}, "stat -c %i /"), "1\n");
  EXPECT_EQ(says(persona, "stat -c %i /"), machine ? "2\n" : "1\n");
  if (installed("lsmod")) {
    EXPECT_GT(std::atoi(says(persona, "lsmod 2>&1 | grep -c ' [0-9]'").c_str()), 5);
  }
  if (installed("ip")) {
    EXPECT_EQ(says(persona, "ip -o link 2>&1 | cut -d: -f2 | tr -d ' '"), "lo\n");
  }
  // The C library asks the processor, not a file.
  EXPECT_EQ(says(persona,
                 "test $(getconf LEVEL1_DCACHE_SIZE) = $(($(sed s/K//  "
                 "/sys/devices/system/cpu/cpu0/cache/index0/size)*1024)) && echo same"),
            "same\n");
  EXPECT_EQ(says(persona, "sed 's/.*(\\(.*\\)).*/\\1/' /proc/self/stat"), "sed\n");
  if (machine) {
    EXPECT_EQ(says(persona, "d=$(cut -d: -f3 /proc/self/cgroup); cat /sys/fs/cgroup$d/memory.max"),
              "max\n");
  }
}

// The positive control: what container managers set is there, and the audit says so.
TEST_F(EndToEnd, TheAuditSeesAMarkedContainer) {
  Finished done = gyges({"cues", "audit", "--json", "--rounds", "1", "--recorder", "off", "--claim",
                         "vm", "--container", "/usr/bin/env container=docker"});
  ASSERT_LE(done.status, 1) << done.error;
  auto document = nlohmann::json::parse(done.output);
  std::set<std::string> leaks;
  for (const auto& leak : document.at("leaks")) leaks.insert(leak.at("channel"));
  EXPECT_TRUE(leaks.contains("E.env.container"));
  EXPECT_EQ(done.status, 1);
}

// What the audit itself finds under the machine of production: nothing that detectors look at, and
// no contradiction but the one that is out of reach. The control is the same machine without its
// answers of system calls.
TEST_F(EndToEnd, ProductionPassesItsAudit) {
  if (::geteuid() != 0) GTEST_SKIP() << "files of other owners show as nobody's without root";
  if (!host_is_kvm()) GTEST_SKIP() << "CPUID of this host is not that of KVM";
  const std::vector<std::string> command = {"cues", "audit",      "--json", "--rounds",
                                            "1",    "--recorder", "off",    "--persona"};
  auto audit = [&](const std::string& policy) {
    std::vector<std::string> whole = command;
    whole.insert(whole.end(), {"vm-production", "--policy", policy});
    return gyges(whole);
  };
  const Finished passed = audit("default");
  EXPECT_EQ(passed.status, 0) << passed.output.substr(0, 4000) << passed.error;
  auto policy = nlohmann::json::parse(*asset("policies/presets/default.json"));
  policy["name"] = "half";
  policy["cues"]["emulate"] = nlohmann::json::array();
  std::ofstream(path("half.json")) << policy.dump();
  const Finished half = audit(path("half.json").string());
  EXPECT_EQ(half.status, 1) << half.error;
}

// npm's is-docker and is-inside-container, where scripts/install_detectors has put them.
TEST_P(Detectors, PackagesOfNodeSayWhatThePersonaClaims) {
  const std::filesystem::path modules =
      std::filesystem::path(GYGES_SOURCE_DIR) / "build/detectors/node_modules";
  if (!std::filesystem::exists(modules / "is-inside-container") || !installed("node"))
    GTEST_SKIP()
        << "scripts/install_detectors has not installed is-inside-container, or there is no node";
  const Claims claims = claims_of(GetParam());
  if (!claims.machine) GTEST_SKIP() << GetParam() << " hides nothing and claims nothing";
  std::ofstream(path("ask.mjs"))
      << "import a from './node_modules/is-docker/index.js'; "
         "import b from './node_modules/is-inside-container/index.js'; console.log(a(), b());";
  std::filesystem::copy(modules, path("node_modules"), std::filesystem::copy_options::recursive);
  const Finished ran = gyges({"run", "-q", "--recorder", "off", "--persona", GetParam(),
                              "--workspace", directory_->path().string(), "--", "node", "ask.mjs"});
  ASSERT_EQ(ran.status, 0) << ran.error;
  // Both go by the marks of Docker and Podman, which a pod of containerd does not have.
  const bool docker = claims.container == "docker";
  EXPECT_EQ(ran.output, docker ? "true true\n" : "false false\n");
}

}  // namespace
}  // namespace gyges
