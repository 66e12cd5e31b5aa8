// gyges run behind the egress gateway: what the bundle says.
#include <gmock/gmock.h>

#include <fstream>
#include <map>

#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class NetworkRun : public EndToEnd {
 protected:
  std::string policy(const json& network) const {
    json policy = read_json(GYGES_SOURCE_DIR "/policies/presets/default.json");
    policy["network"] = network;
    std::string file = path("policy.json").string();
    std::ofstream(file) << policy;
    return file;
  }
  std::vector<json> flows(const std::string& bundle) const {
    std::vector<json> lines;
    std::ifstream file(bundle + "/flows.jsonl");
    for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
    return lines;
  }
};

TEST_F(NetworkRun, FlowsNameTheProcessThatCausedThem) {
  std::string file =
      policy({{"mode", "gateway"}, {"rules", {{{"to", {"203.0.113.0/24"}}, {"action", "sink"}}}}});
  for (const char* recorder : {"auto", "ptrace"}) {
    std::string bundle = path(recorder).string();
    Finished run =
        gyges({"run", "--policy", file, "--recorder", recorder, "--out", bundle, "--", "bash", "-c",
               "cat /etc/resolv.conf; echo one $BASHPID;"
               "exec 3<>/dev/tcp/203.0.113.5/80; echo -n hello >&3;"
               "(echo two $BASHPID; exec 4<>/dev/tcp/192.0.2.7/25)"});
    ASSERT_THAT(run.output, HasSubstr("nameserver 10.0.2.2")) << run.error;
    EXPECT_THAT(run.error, HasSubstr("Connection refused"));
    EXPECT_EQ(gyges({"verify", bundle}).status, 0);
    auto number_after = [&](const char* word) {
      return std::atoi(run.output.substr(run.output.find(word) + 4).c_str());
    };
    int found = 0;
    for (const json& flow : flows(bundle)) {
      if (flow.at("destination") == "203.0.113.5") {
        ++found;
        EXPECT_EQ(flow.at("verdict"), "sunk");
        EXPECT_EQ(flow.at("pid"), number_after("one"));
        EXPECT_EQ(flow.at("sent_bytes"), 5);
      } else if (flow.at("destination") == "192.0.2.7") {
        ++found;
        EXPECT_EQ(flow.at("verdict"), "refused");
        EXPECT_EQ(flow.at("pid"), number_after("two"));
      } else {
        continue;
      }
      EXPECT_EQ(flow.at("attribution"), "exact") << flow;
    }
    EXPECT_EQ(found, 2) << recorder;
  }
}

// Two processes connect to one destination again and again; each sends its own number.
TEST_F(NetworkRun, ProcessesThatRaceForADestinationAreToldApart) {
  std::string file =
      policy({{"mode", "gateway"}, {"rules", {{{"to", {"203.0.113.0/24"}}, {"action", "sink"}}}}});
  for (const char* recorder : {"auto", "ptrace"}) {
    std::string bundle = path(std::string("race-") + recorder).string();
    Finished run = gyges(
        {"run", "--policy", file, "--recorder", recorder, "--out", bundle, "--", "bash", "-c",
         "f() { for i in {1..12}; do (exec 3<>/dev/tcp/203.0.113.5/80 && echo -n $BASHPID >&3); "
         "done; }; f & f & wait"});
    ASSERT_EQ(run.status, 0) << run.error;
    int found = 0;
    for (const json& flow : flows(bundle)) {
      if (flow.at("destination") != "203.0.113.5") continue;
      ++found;
      EXPECT_EQ(flow.at("attribution"), "exact") << flow;
      EXPECT_GT(flow.value("socket", 0), 0) << flow;
      std::ifstream blob(bundle + "/blobs/" + flow.at("sent").at("blob").get<std::string>());
      int sender = 0;
      blob >> sender;
      EXPECT_EQ(flow.at("pid"), sender) << flow;
    }
    EXPECT_EQ(found, 24) << recorder;
  }
}

// As on a host without packet rules.
TEST_F(NetworkRun, ListedPortsAreStatedInTheBundle) {
  for (const char* capture : {"ports", "all"}) {
    const std::string bundle = path(capture).string();
    Finished run = gyges({"run", "--policy",
                          policy({{"mode", "gateway"},
                                  {"capture", capture},
                                  {"rules", {{{"to", {"203.0.113.0/24"}}, {"action", "sink"}}}}}),
                          "--out", bundle, "--", "bash", "-c",
                          "exec 3<>/dev/tcp/203.0.113.5/80 && echo one;"
                          "exec 3<>/dev/tcp/203.0.113.5/54321 && echo two"});
    const bool all = capture == std::string("all");
    EXPECT_EQ(run.output, all ? "one\ntwo\n" : "one\n") << run.error;
    const json document = read_json(bundle + "/run.json");
    const std::string words = "TCP connections are let in on ";
    EXPECT_EQ(document["enforced"]["network"] == "all ports", all) << document["enforced"];
    EXPECT_EQ(document["coverage"]["degraded"].dump().find(words) == std::string::npos, all);
    EXPECT_EQ(document["warnings"].dump().find(words) == std::string::npos, all);
    EXPECT_EQ(run.error.find(words) == std::string::npos, all) << run.error;
    EXPECT_EQ(gyges({"verify", bundle}).status, 0);
    std::map<int, std::string> verdicts;
    for (const json& flow : flows(bundle)) verdicts[flow.at("port")] = flow.at("verdict");
    EXPECT_EQ(verdicts[80], "sunk");
    EXPECT_EQ(verdicts[54321], all ? "sunk" : "refused");
  }
}

TEST_F(NetworkRun, ExplainShowsTheGatewayAndErrorsSayWhatToDo) {
  std::string file = policy({{"mode", "gateway"}});
  EXPECT_THAT(gyges({"policy", "explain", file}).output, HasSubstr("egress gateway"));
  EXPECT_THAT(gyges({"policy", "explain", "default"}).output,
              ::testing::Not(HasSubstr("egress gateway")));
  file = policy({{"mode", "gateway"}, {"rules", {{{"action", "simulate"}}}}});
  Finished run = gyges({"run", "--policy", file, "--recorder", "off", "--", "true"});
  EXPECT_EQ(run.status, 125);
  EXPECT_THAT(run.error, HasSubstr("no simulated world"));
}

}  // namespace
}  // namespace gyges
