#include "analysis/features/path_facts.h"

#include <gtest/gtest.h>

#include <string>

#include "analysis/features/call_traits.h"
#include "analysis/features/glob.h"
#include "analysis/features/path_sets.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::analysis {
namespace {

const std::vector<std::string> asked_about = {"/etc/shadow",
                                              "/home/svc/.ssh/id_ed25519",
                                              "/etc/cron.d/x",
                                              "/var/log/auth.log",
                                              "/usr/bin/ls",
                                              "/tmp/a/b",
                                              "/srv/logs/a",
                                              "relative",
                                              ""};

// An act that names these paths, numbered from 1 under `path_ids`; 0: without numbers.
struct NamingAct {
  explicit NamingAct(const std::vector<std::string>& paths, std::uint64_t path_ids = 0) {
    act.path_ids = path_ids;
    recorder::PathId id = recorder::no_path;
    for (const std::string& path : paths)
      act.paths.push_back({path, false, path_ids == 0 ? recorder::no_path : ++id});
  }
  Act act;
};

TEST(PathFactsOfARun, AreWhatTheSetsSay) {
  const std::vector<std::string> task_paths = {"/srv/logs/**"};
  for (std::uint64_t path_ids : {0, 1'000'001, 1'000'001, 1'000'002}) {
    PathClassifier classifier(task_paths);  // from the third on it knows the paths already
    const NamingAct naming(asked_about, path_ids);
    for (std::size_t i = 0; i < asked_about.size(); ++i) {
      const std::string& path = asked_about[i];
      const PathFacts& facts = classifier.facts_of(naming.act, i);
      EXPECT_EQ(facts.absolute, path.starts_with('/')) << path;
      EXPECT_EQ(facts.credential, label_in(credential_paths(), path).has_value()) << path;
      EXPECT_EQ(facts.sensitive, label_in(sensitive_paths(), path).has_value()) << path;
      EXPECT_EQ(facts.persistence, label_in(persistence_paths(), path).has_value()) << path;
      EXPECT_EQ(facts.log, label_in(log_paths(), path).has_value()) << path;
      EXPECT_EQ(facts.system, label_in(system_paths(), path).has_value()) << path;
      EXPECT_EQ(facts.scratch, label_in(scratch_paths(), path).has_value()) << path;
      EXPECT_EQ(facts.in_task, any_glob_matches(task_paths, path)) << path;
    }
  }
}

TEST(PathFactsOfARun, AreNotThoseOfAnotherScenario) {
  PathClassifier logs({"/srv/logs/**"});
  PathClassifier mail({"/srv/mail/**"});
  const std::vector<std::string> paths = {"/srv/logs/a", "/srv/mail/a"};
  for (std::uint64_t path_ids : {1'000'003, 1'000'003, 0}) {
    const NamingAct naming(paths, path_ids);
    EXPECT_TRUE(logs.facts_of(naming.act, 0).in_task);
    EXPECT_FALSE(mail.facts_of(naming.act, 0).in_task);
    EXPECT_TRUE(mail.facts_of(naming.act, 1).in_task);
    EXPECT_FALSE(logs.facts_of(naming.act, 1).in_task);
  }
}

TEST(CacheOfPaths, WorksOutOnceAndAnewWhenTheNumbersAreOthers) {
  PathCache<std::size_t> cache;
  std::size_t worked_out = 0;
  auto length = [&](std::string_view path) {
    ++worked_out;
    return path.size();
  };
  const std::vector<std::string> paths = {"/first", "/second"};
  const NamingAct naming(paths, 1'000'004);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(cache.of(naming.act, 0, length), 6U);
    EXPECT_EQ(cache.of(naming.act, 1, length), 7U);
  }
  EXPECT_EQ(worked_out, 2U);
  const std::vector<std::string> others = {"/other", "/of another length"};
  const NamingAct renumbered(others, 1'000'005);
  EXPECT_EQ(cache.of(renumbered.act, 1, length), 18U);
  EXPECT_EQ(cache.of(renumbered.act, 0, length), 6U);
  EXPECT_EQ(worked_out, 4U);
  const NamingAct unnumbered(paths);
  EXPECT_EQ(cache.of(unnumbered.act, 1, length), 7U);
  EXPECT_EQ(cache.of(unnumbered.act, 1, length), 7U);
  EXPECT_EQ(worked_out, 6U);
}

}  // namespace
}  // namespace gyges::analysis
