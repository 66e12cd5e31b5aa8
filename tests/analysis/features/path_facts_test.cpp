#include "analysis/features/path_facts.h"

#include <gtest/gtest.h>

#include <string>

#include "analysis/features/call_traits.h"
#include "analysis/features/glob.h"
#include "analysis/features/path_sets.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::analysis {
namespace {

const std::string asked_about[] = {"/etc/shadow",
                                   "/home/svc/.ssh/id_ed25519",
                                   "/etc/cron.d/x",
                                   "/var/log/auth.log",
                                   "/usr/bin/ls",
                                   "/tmp/a/b",
                                   "/srv/logs/a",
                                   "relative",
                                   ""};

TEST(PathFactsOfARun, AreWhatTheSetsSay) {
  const std::vector<std::string> task_paths = {"/srv/logs/**"};
  for (int round = 0; round < 2; ++round) {
    PathClassifier classifier(task_paths);  // the second knows the paths already
    for (const std::string& path : asked_about) {
      const PathFacts& facts = classifier.facts_of(path);
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
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(logs.facts_of("/srv/logs/a").in_task);
    EXPECT_FALSE(mail.facts_of("/srv/logs/a").in_task);
    EXPECT_TRUE(mail.facts_of("/srv/mail/a").in_task);
    EXPECT_FALSE(logs.facts_of("/srv/mail/a").in_task);
  }
}

TEST(CacheOfPaths, IsBoundedAndWorksOutAnewWhatItForgot) {
  PathCache<std::size_t> cache;
  std::size_t worked_out = 0;
  auto length = [&](const std::string& path) {
    ++worked_out;
    return path.size();
  };
  const std::string first = "/first";
  EXPECT_EQ(cache.of(first, length), 6U);
  EXPECT_EQ(cache.of(first, length), 6U);
  EXPECT_EQ(worked_out, 1U);
  for (int i = 0; i < 2500; ++i) {
    std::string path = "/" + std::to_string(i) + std::string(8000, 'x');
    ASSERT_EQ(cache.of(path, length), path.size());
  }
  EXPECT_EQ(cache.of(first, length), 6U);
  EXPECT_EQ(worked_out, 2502U);
}

TEST(TraitsOfCalls, AreTheSameByNameAndByNumber) {
  using recorder::Abi;
  for (Abi abi : {Abi::x86_64, Abi::i386})
    for (const recorder::SyscallSpec& spec : recorder::syscalls(abi)) {
      const CallTraits& by_number = traits_of_call(abi, spec.number);
      const CallTraits& by_name = traits_of_call(spec.name);
      EXPECT_EQ(by_number.name, spec.name);
      EXPECT_EQ(by_name.name, spec.name);
      EXPECT_EQ(by_number.opens, by_name.opens) << spec.name;
      EXPECT_EQ(by_number.looks, by_name.looks) << spec.name;
      EXPECT_EQ(by_number.asks, by_name.asks) << spec.name;
    }
  EXPECT_TRUE(traits_of_call("openat2").opens);
  EXPECT_TRUE(traits_of_call("execve").executes);
  EXPECT_TRUE(traits_of_call("unlinkat").removes);
  EXPECT_TRUE(traits_of_call("pwritev2").writes_bytes);
  EXPECT_TRUE(traits_of_call("sendmsg").sends);
  EXPECT_TRUE(traits_of_call("uname").asks);
  EXPECT_FALSE(traits_of_call("read").opens || traits_of_call("read").looks);
  EXPECT_TRUE(traits_of_call(Abi::x32, recorder::x32_bit | 1U).writes_bytes);
  EXPECT_EQ(traits_of_call("no_such_call").name, "");
  EXPECT_EQ(traits_of_call(Abi::x86_64, 100'000).name, "");
}

}  // namespace
}  // namespace gyges::analysis
