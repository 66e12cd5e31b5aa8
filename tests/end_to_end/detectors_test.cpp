// Detectors that this project did not write, under every persona that is shipped: what they say
// must fit what the persona claims; where it does not, the audit must list it.
#include <algorithm>
#include <fstream>
#include <set>

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

struct Detector {
  std::string name;
  std::vector<std::string> command;
  bool containers;  // it looks for containers, else for virtual machines
};

const std::vector<Detector>& detectors() {
  static const std::vector<Detector> all = {
      {"systemd-detect-virt", {"systemd-detect-virt", "--vm"}, false},
      {"systemd-detect-virt", {"systemd-detect-virt", "--container"}, true},
      {"lscpu", {"sh", "-c", "lscpu | sed -n 's/^Hypervisor vendor: *//p'"}, false},
      // What virt-what prints, without its refusal to work for other users than root.
      {"virt-what", {"sh", "-c", "virt-what 2>/dev/null"}, false},
  };
  return all;
}

bool installed(const std::string& program) {
  for (const char* place : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"})
    if (std::filesystem::exists(place + program)) return true;
  return false;
}

std::string first_word(const std::string& text) {
  std::string word = text.substr(0, text.find_first_of(" \n"));
  return word == "none" ? "" : word;
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

TEST_P(Detectors, SayWhatThePersonaClaimsOrTheAuditListsIt) {
  nlohmann::json document = audit({"--persona", GetParam()});
  ASSERT_TRUE(document.is_object());
  const std::string claim = document.at("conditions").at(0).at("claim");
  for (const Detector& detector : detectors()) {
    if (!installed(detector.name)) {
      std::printf("skipped: %s is not installed (scripts/packages.txt)\n", detector.name.c_str());
      continue;
    }
    std::vector<std::string> command = {"run",       "-q",       "--recorder", "off",
                                        "--persona", GetParam(), "--"};
    command.insert(command.end(), detector.command.begin(), detector.command.end());
    std::string seen = first_word(gyges(command).output);
    bool fits = seen.empty() || claim == "container" || (claim == "vm" && !detector.containers);
    if (!fits) {
      EXPECT_TRUE(says(document, detector.containers ? "container" : "vm"))
          << detector.name << " says " << seen << " under " << GetParam()
          << ", and the audit does not";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Personas, Detectors, ::testing::ValuesIn(personas()),
                         [](const auto& chosen) {
                           std::string name = chosen.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

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

// npm's is-docker and is-inside-container, where scripts/install_detectors has put them.
TEST_P(Detectors, PackagesOfNodeSayWhatThePersonaClaims) {
  const std::filesystem::path modules =
      std::filesystem::path(GYGES_SOURCE_DIR) / "build/detectors/node_modules";
  if (!std::filesystem::exists(modules / "is-inside-container") || !installed("node"))
    GTEST_SKIP()
        << "scripts/install_detectors has not installed is-inside-container, or there is no node";
  nlohmann::json document = audit({"--persona", GetParam()});
  const std::string claim = document.at("conditions").at(0).at("claim");
  const std::string script =
      "import a from './node_modules/is-docker/index.js'; "
      "import b from './node_modules/is-inside-container/index.js'; console.log(a() || b());";
  std::ofstream(path("ask.mjs")) << script;
  std::filesystem::copy(modules, path("node_modules"), std::filesystem::copy_options::recursive);
  Finished ran = gyges({"run", "-q", "--recorder", "off", "--persona", GetParam(), "--workspace",
                        directory_->path().string(), "--", "node", "ask.mjs"});
  ASSERT_EQ(ran.status, 0) << ran.error;
  if (ran.output == "true\n" && claim != "container") {
    EXPECT_TRUE(says(document, "container"))
        << "node's packages see a container under " << GetParam();
  }
}

}  // namespace
}  // namespace gyges
