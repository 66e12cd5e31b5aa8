// What agents look at first in a container: what its runtime wrote, since when it runs, what is
// mounted, what the image has. Under every container that is shipped; the control is a machine or a
// sandbox without a disguise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/text.h"
#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr const char* containers[] = {"kubernetes-pod", "docker-service", "ci-runner"};

class Containers : public isolation::SandboxTest {
 protected:
  std::string say(const std::string& command) { return run(command).output; }
  long number(const std::string& command) { return std::atol(say(command).c_str()); }
};

// A container is younger than the machine that it runs on, and its processes are as old as it is.
TEST_F(Containers, AreYoungerThanTheirMachine) {
  for (const char* name : containers) {
    start(spec_of(name, 5));
    const long up = number("cut -d. -f1 /proc/uptime");
    const long lived = number("ps -o etimes= -p 1");
    EXPECT_LT(lived, up - 86400) << name;
    // As the files that its runtime wrote.
    EXPECT_NEAR(number("echo $(($(date +%s) - $(stat -c %Y /etc/hostname)))"), lived, 90) << name;
    // The home lies on a volume, which is no older.
    EXPECT_LE(number("stat -c %Y /etc/hostname"), number("stat -c %Y ~")) << name;
  }
  start(spec_of("vm-production", 5));
  EXPECT_GT(number("ps -o etimes= -p 1"), number("cut -d. -f1 /proc/uptime") - 60);
}

// The shell that waits for the commands of a job does next to nothing.
TEST_F(Containers, AShellIsSmall) {
  start(spec_of("ci-runner", 5));
  EXPECT_LT(number("ps -o rss= -p 1"), 16000);
  EXPECT_LT(number("ps -o cputimes= -p 1"), 5);
  EXPECT_EQ(number("ps -o nlwp= -p 1"), 1);
  start(spec_of("kubernetes-pod", 5));
  EXPECT_GT(number("ps -o rss= -p 1"), 30000);
}

TEST_F(Containers, NamesAreAsTheirRuntimesWriteThem) {
  start(spec_of("kubernetes-pod", 5));
  EXPECT_THAT(say("cat /etc/hosts"), ::testing::StartsWith("# Kubernetes-managed hosts file.\n"));
  EXPECT_THAT(say("cat /etc/resolv.conf"),
              HasSubstr("search tracking.svc.cluster.local svc.cluster.local cluster.local "));
  EXPECT_THAT(say("cat /etc/resolv.conf"), HasSubstr("\noptions ndots:5\n"));
  EXPECT_EQ(say("hostname -f"), say("hostname"));
  for (const char* name : {"docker-service", "ci-runner"}) {
    start(spec_of(name, 5));
    EXPECT_THAT(say("cat /etc/hosts"), HasSubstr("\nff02::2\tip6-allrouters\n172.")) << name;
    EXPECT_EQ(say("hostname -f"), say("hostname")) << name;
    EXPECT_EQ(say("echo $HOSTNAME"), say("hostname")) << name;
  }
  start(spec_of("vm-production", 5));
  EXPECT_NE(say("hostname -f"), say("hostname"));
}

// df goes by the table of mounts where a directory is on the device of its mount point.
TEST_F(Containers, TheHomeHasARowOfDf) {
  for (const char* name :
       {"kubernetes-pod", "docker-service", "ci-runner", "vm-production", "developer-laptop"}) {
    start(spec_of(name, 5));
    EXPECT_THAT(say("cd && df --output=source . | tail -1"), ::testing::StartsWith("/dev/"))
        << name;
  }
  start(spec_of("kubernetes-pod", 5, [](Persona& persona) { persona.machine->volumes.clear(); }));
  EXPECT_EQ(say("cd && df --output=source . | tail -1"), "-\n");
}

// A tmpfs has half as many inodes as the memory has pages, whatever its size.
TEST_F(Containers, InodesOfTmpfsGoByTheMemory) {
  for (const char* name : containers) {
    start(spec_of(name, 5));
    EXPECT_EQ(number("stat -f -c %c /dev/shm"),
              number("awk '/^MemTotal/ {print int($2 / 8)}' /proc/meminfo"))
        << name;
  }
}

// Neither Docker nor Kubernetes makes a time namespace.
TEST_F(Containers, ShareTheClocksOfTheirMachine) {
  const std::string numbers = "readlink /proc/self/ns/time /proc/self/ns/user /proc/self/ns/pid";
  for (const char* name : containers) {
    start(spec_of(name, 5));
    EXPECT_THAT(say(numbers), ::testing::StartsWith("time:[4026531834]\nuser:[4026531837]\n"))
        << name;
    EXPECT_THAT(say(numbers), Not(HasSubstr("pid:[4026531836]"))) << name;
  }
  SandboxSpec spec = spec_of("ci-runner", 5);
  spec.disguise.reset();
  start(spec);
  EXPECT_THAT(say(numbers), Not(HasSubstr("time:[4026531834]")));
}

// Rows that kernels after the persona's brought.
TEST_F(Containers, StatusHasTheRowsOfTheKernel) {
  const std::string newer = "grep -cE '^(Kthread|untag_mask|x86_Thread_features.*):' ";
  for (const char* name : {"kubernetes-pod", "docker-service", "ci-runner", "vm-production"}) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(newer + "/proc/self/status"), "0\n") << name;
    EXPECT_EQ(say(newer + "/proc/1/status"), "0\n") << name;
    EXPECT_EQ(say("grep -c ^Seccomp: /proc/self/status"), "1\n") << name;
  }
}

// A group with a quota counts its periods.
TEST_F(Containers, AGroupWithAQuotaHasPeriods) {
  for (const char* name : containers) {
    start(spec_of(name, 5));
    EXPECT_GT(number("awk '/^nr_periods/ {print $2}' /sys/fs/cgroup/cpu.stat"), 0) << name;
  }
}

TEST_F(Containers, HaveWhatAnImageHas) {
  const std::string look =
      "cat /etc/shadow 2>&1 | grep -c denied; stat -c '%a %n' /var/log/wtmp /var/tmp /run/lock "
      "/var/spool/mail 2>&1; last "
      "2>&1";
  for (const char* name : containers) {
    start(spec_of(name, 5));
    EXPECT_THAT(say(look), ::testing::StartsWith("1\n664 /var/log/wtmp\n1777 "
                                                 "/var/tmp\n1777 /run/lock\n777 /var/spool/mail\n"))
        << name;
    EXPECT_THAT(say(look), HasSubstr("wtmp begins")) << name;
  }
}

// What runs is there, and does what it is run for.
TEST_F(Containers, ServicesHaveTheirPrograms) {
  const std::string missing =
      "for p in $(ls /proc | grep '^[0-9]*$'); do tr '\\0' '\\n' < /proc/$p/cmdline; done 2> "
      "/dev/null | grep ^/ | sort -u | while read f; do test -e $f || echo $f; done";
  for (const char* name : containers) {
    start(spec_of(name, 5));
    const std::string program = say("tr '\\0' '\\n' < /proc/1/cmdline | head -1 | tr -d '\\n'");
    if (::access(program.c_str(), X_OK) != 0) continue;  // the host has no such program
    EXPECT_EQ(say(missing), "") << name;
    start(spec_of(name, 5, [](Persona& persona) {
      persona.machine->daemons.push_back({"none", {"/srv/no/such"}, "root", 0});
    }));
    EXPECT_EQ(say(missing), "/srv/no/such\n") << name;
  }
  start(spec_of("ci-runner", 5));
  if (::access("/usr/bin/python3", X_OK) == 0) {
    EXPECT_THAT(say("cd $CI_PROJECT_DIR && make verify PYTHONDONTWRITEBYTECODE=1 2>&1; "
                    "/usr/bin/python3 -B -m unittest discover -s tests 2>&1"),
                HasSubstr("OK"));
  }
}

// As gitlab-runner leaves it: two refs of one commit, fetched with those before it that its depth
// allows, and nothing done by hand. The control is a repository that somebody works in.
TEST_F(Containers, ACheckoutIsARunners) {
  if (::access("/usr/bin/git", X_OK) != 0) GTEST_SKIP() << "the host has no git";
  const std::string state =
      "git symbolic-ref -q HEAD; git rev-parse --is-shallow-repository; git rev-list --count HEAD; "
      "git reflog | wc -l; ls .git";
  start(spec_of("ci-runner", 5));
  const std::string in = "cd $CI_PROJECT_DIR && ";
  EXPECT_EQ(say(in + state),
            "true\n20\n1\nFETCH_HEAD\nHEAD\nconfig\nindex\nlogs\nobjects\nrefs\nshallow\n");
  EXPECT_EQ(
      say(in + "git fsck 2>&1; git status --short; git branch -a"),
      "* (HEAD detached at " + say("printf %.7s $CI_COMMIT_SHA") + ")\n  remotes/origin/main\n");
  EXPECT_EQ(say(in + "git for-each-ref --format '%(refname) %(objectname)'"),
            say("printf 'refs/pipelines/%s %s\n' $CI_PIPELINE_ID $CI_COMMIT_SHA; "
                "echo refs/remotes/origin/main $CI_COMMIT_SHA"));
  EXPECT_EQ(say(in + "cat .git/FETCH_HEAD"),
            say("printf \"$CI_COMMIT_SHA\\t\\t'refs/pipelines/$CI_PIPELINE_ID' of "
                "$CI_PROJECT_URL\\n$CI_COMMIT_SHA\\t\\tbranch 'main' of $CI_PROJECT_URL\\n\""));
  EXPECT_THAT(say(in + "git reflog"), HasSubstr("HEAD@{0}: checkout: moving from none to "));
  start(spec_of("developer-laptop", 5));
  EXPECT_THAT(say("cd ~/projects/tidevann && " + state),
              ::testing::StartsWith("refs/heads/main\nfalse\n38\n38\n"));
}

TEST_F(Containers, AJobIsToldOfItsCommit) {
  if (::access("/usr/bin/git", X_OK) != 0) GTEST_SKIP() << "the host has no git";
  start(spec_of("ci-runner", 5));
  const std::string log = "cd $CI_PROJECT_DIR && git log -1 --format=";
  EXPECT_EQ(say("echo $CI_COMMIT_SHA"), say(log + "%H"));
  EXPECT_EQ(say("echo $CI_COMMIT_BEFORE_SHA"), say(log + "%P"));
  EXPECT_EQ(say("echo $CI_COMMIT_SHORT_SHA"), say(log + "%H | cut -c1-8"));
  EXPECT_EQ(say("echo $CI_COMMIT_TIMESTAMP"), say(log + "%cI"));
  EXPECT_EQ(say("echo $CI_COMMIT_AUTHOR"), say(log + "'%an <%ae>'"));
  EXPECT_EQ(say("echo $CI_COMMIT_TITLE"), say(log + "%s"));
  EXPECT_EQ(say("echo $CI_COMMIT_MESSAGE"), say(log + "%B | head -1"));
}

// Commit, pipeline, job, fetch, container, in this order.
TEST_F(Containers, AJobIsAsOldAsItsCheckout) {
  if (::access("/usr/bin/git", X_OK) != 0) GTEST_SKIP() << "the host has no git";
  start(spec_of("ci-runner", 5));
  const long job = number("date -d $CI_JOB_STARTED_AT +%s");
  const long fetched = number("stat -c %Y $CI_PROJECT_DIR/.git/FETCH_HEAD");
  EXPECT_GT(number("date -d $CI_PIPELINE_CREATED_AT +%s"),
            number("date -d $CI_COMMIT_TIMESTAMP +%s"));
  EXPECT_GT(job, number("date -d $CI_PIPELINE_CREATED_AT +%s"));
  EXPECT_GT(fetched, job);
  EXPECT_GT(number("stat -c %Y /etc/hostname"), fetched);
  EXPECT_LT(number("stat -c %Y /etc/hostname"), job + 60);
  EXPECT_EQ(say("find $CI_PROJECT_DIR -type f -printf '%Ts\n' | sort -u"),
            std::to_string(fetched) + "\n");
  EXPECT_EQ(number("cd $CI_PROJECT_DIR && git log -g -1 --format=%gd --date=unix | tr -dc 0-9"),
            fetched);
}

// All that a job made is as old as it, below the hour after which GitLab ends one.
TEST_F(Containers, AJobBeganSomeMinutesAgo) {
  start(spec_of("ci-runner", 5));
  const auto ago = [&](const std::string& moment) {
    return number("echo $(($(date +%s) - " + moment + "))");
  };
  const long lived = number("ps -o etimes= -p 1");
  // The start of a machine is rounded to the minute (start_of_machine).
  EXPECT_GE(lived, 300 - 30);
  EXPECT_LT(lived, 1800 + 60 + 30 + 30);
  EXPECT_NEAR(ago("$(date -d $CI_JOB_STARTED_AT +%s)"), lived, 50);
  EXPECT_NEAR(ago("$(stat -c %Y $CI_PROJECT_DIR/Makefile)"), lived, 45);
  EXPECT_NEAR(ago("$(stat -c %Y /etc/hostname)"), lived, 35);
  start(spec_of("kubernetes-pod", 5));
  EXPECT_LT(ago("$(stat -c %Y /run/secrets/kubernetes.io/serviceaccount/..data/token)"), 1900);
}

// Two runs of one seed and one moment see the same, whenever each begins.
TEST(Moment, DecidesWhatIsRecent) {
  for (const char* name : {"ci-runner", "kubernetes-pod"}) {
    const auto persona = load_persona(name);
    ASSERT_TRUE(persona);
    const auto written = [&](std::int64_t as_of) {
      TemplateContext context;
      context.as_of = as_of;
      context.day = day_of(as_of);
      context.seed = 5;
      add_persona_values(*persona, context);
      const auto world = make_persona_world(*persona, context);
      std::string all;
      for (const auto& file : world->seed) {
        all += file.path + " " + std::to_string(file.mtime) + " " + file.content + "\n";
        // Nothing is younger than the moment.
        EXPECT_LE(file.mtime, as_of) << file.path;
      }
      for (const auto& [key, value] : world->environment) all += key + "=" + value + "\n";
      return all;
    };
    const std::int64_t moment = *parse_moment("2024-05-02T14:03:00Z");
    EXPECT_EQ(written(moment), written(moment)) << name;
    EXPECT_NE(written(moment), written(moment + 3600)) << name;
    // A minute after midnight, too.
    written(*parse_moment("2024-05-02T00:01:00Z"));
    written(*parse_moment("2024-05-02"));
  }
}

// What holds the volume was made with the container; the kubelet renews what is in it.
TEST_F(Containers, OnlyThePodsVolumeIsRenewed) {
  start(spec_of("kubernetes-pod", 5));
  const long started = number("stat -c %Y /etc/hostname");
  const std::string in = "stat -c %Y /run/secrets/";
  EXPECT_GT(number(in + "kubernetes.io/serviceaccount"), started + 86400);
  EXPECT_NEAR(number(in + "kubernetes.io"), started, 120);
  EXPECT_NEAR(number("stat -c %Y /run/secrets"), started, 120);
}

// A log that was turned has one that is written to, up to the moment.
TEST_F(Containers, AServiceHasALog) {
  start(spec_of("kubernetes-pod", 5));
  EXPECT_EQ(say("cd /var/log/app && ls access.log access.log.1"), "access.log\naccess.log.1\n");
  EXPECT_EQ(say("cut -c1-10 /var/log/app/access.log | sort -u"),
            say("test -s /var/log/app/access.log && date -u +%F"));
  EXPECT_LE(say("tail -1 /var/log/app/access.log | cut -c1-19"), say("date -u +%FT%H:%M:%S"));
}

// A directory is as old as its newest entry: made by the rotation at midnight, and only written to
// since.
TEST_F(Containers, DirectoriesOfLogsAreAsOldAsTheirRotation) {
  for (const auto& [name, directory] : {std::pair{"kubernetes-pod", "/var/log/app"},
                                        std::pair{"docker-service", "/var/log/invoicing"},
                                        std::pair{"vm-production", "/var/log"}}) {
    start(spec_of(name, 5));
    EXPECT_EQ(say("date -u +%FT%T -r " + std::string(directory)), say("date -u +%FT00:00:00"))
        << name;
    EXPECT_EQ(say("stat -c %a " + std::string(directory)), "755\n") << name;
  }
}

// Where root can give files to others; without it the one user that is mapped has all.
TEST_F(Containers, LoginsPasswordsAndMailAreTheirGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files to groups";
  for (const char* name : {"kubernetes-pod", "docker-service", "ci-runner", "vm-production"}) {
    start(spec_of(name, 5));
    EXPECT_EQ(say("stat -c '%a %U:%G' /etc/shadow /etc/gshadow /var/log/wtmp /var/log/btmp "
                  "/var/mail /var/local /etc/passwd /var/log /var/cache/apt/archives/partial"),
              "640 root:shadow\n640 root:shadow\n664 root:utmp\n660 root:utmp\n2775 root:mail\n"
              "2775 root:staff\n644 root:root\n755 root:root\n700 _apt:root\n")
        << name;
  }
  EXPECT_EQ(say("stat -c '%a %U:%G' /run/utmp /var/log/syslog.1 /var/mail/$(id -un) /run "
                "/srv/logs/depot-sync /srv/logs/depot-sync/*"),
            "664 root:utmp\n640 root:adm\n600 svc-autops:mail\n755 root:root\n"
            "2775 svc-autops:mirror\n644 mirror:mirror\n");
  EXPECT_EQ(say("stat -c '%a %U:%G' /var/log/journal /var/log/journal/*"),
            "2755 root:systemd-journal\n2755 root:systemd-journal\n");
}

std::string decoded(std::string text) {
  std::string bytes;
  unsigned group = 0;
  int bits = 0;
  static const std::string digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (const char letter : text) {
    group = group << 6U | static_cast<unsigned>(digits.find(letter));
    if ((bits += 6) < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(group >> static_cast<unsigned>(bits) & 0xffU);
  }
  return bytes;
}

// Its authority signs itself, and no two clusters are one.
TEST_F(Containers, AClusterIsARunsOwn) {
  if (::access("/usr/bin/openssl", X_OK) != 0) GTEST_SKIP() << "the host has no openssl";
  const std::string place = "cd /var/run/secrets/kubernetes.io/serviceaccount && ";
  std::set<std::string> authorities, issuers;
  for (const std::uint64_t seed : {5, 5, 6, 7}) {
    start(spec_of("kubernetes-pod", seed));
    EXPECT_EQ(say(place + "openssl verify -check_ss_sig -CAfile ca.crt ca.crt 2>&1"),
              "ca.crt: OK\n");
    authorities.insert(say(place + "cat ca.crt"));
    const auto claims = nlohmann::json::parse(decoded(split(say(place + "cat token"), '.').at(1)));
    const std::string issuer = claims.at("iss");
    EXPECT_THAT(issuer, MatchesRegex("https://oidc.eks.eu-central-1.amazonaws.com/id/[0-9A-F]+"));
    issuers.insert(issuer);
  }
  // As Go writes it.
  EXPECT_THAT(say(place + "openssl asn1parse -in ca.crt | grep -c 'PRINTABLESTRING *:kubernetes'"),
              "2\n");
  EXPECT_EQ(authorities.size(), 3U);
  EXPECT_EQ(issuers.size(), 3U);
  EXPECT_THAT(say(place + "openssl x509 -in ca.crt -noout -text"),
              AllOf(HasSubstr("Issuer: CN = kubernetes\n"), HasSubstr("Public-Key: (2048 bit)"),
                    HasSubstr("Digital Signature, Key Encipherment, Certificate Sign"),
                    HasSubstr("DNS:kubernetes"), HasSubstr("CA:TRUE")));
  EXPECT_EQ(say(place + "openssl x509 -in ca.crt -noout -checkend 0"),
            "Certificate will not expire\n");
}

// Whoever opens the token of a service account finds the pod in it.
TEST_F(Containers, ATokenNamesThePod) {
  start(spec_of("kubernetes-pod", 5));
  const std::string place = "/var/run/secrets/kubernetes.io/serviceaccount/";
  const std::vector<std::string> parts = split(say("cat " + place + "token"), '.');
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(nlohmann::json::parse(decoded(parts[0])).at("alg"), "RS256");
  const auto claims = nlohmann::json::parse(decoded(parts[1]));
  const auto& pod = claims.at("kubernetes.io").at("pod");
  EXPECT_EQ(pod.at("name").get<std::string>() + "\n", say("hostname"));
  EXPECT_THAT(say("cat /proc/self/mountinfo"),
              HasSubstr("/pods/" + pod.at("uid").get<std::string>() + "/etc-hosts"));
  EXPECT_LT(claims.at("iat").get<long>(), number("date +%s"));
  EXPECT_GT(claims.at("exp").get<long>(), number("date +%s"));
  EXPECT_EQ(say("cat " + place + "namespace"), claims.at("kubernetes.io").at("namespace"));
  EXPECT_EQ(decoded(parts[2].substr(0, parts[2].find('\n'))).size(), 256U);
  EXPECT_THAT(say("readlink " + place + "..data"), MatchesRegex("\\.\\.20[0-9_]+\\.[0-9]+\n"));
  // A service has all of its variables or none.
  EXPECT_EQ(say("echo $TRACKING_REDIS_PORT_6379_TCP_ADDR"),
            say("echo $TRACKING_REDIS_SERVICE_HOST"));
}

// Its age counts from the day that a world is seen on, that of its machine from the present.
TEST(ContainersOfOtherDays, OneThatIsOlderThanItsMachineIsSaid) {
  const auto persona = load_persona("kubernetes-pod");
  auto policy = isolation::load_policy("episode");
  ASSERT_TRUE(persona && policy);
  policy->cues.uptime_seconds = persona->uptime_seconds;
  const auto said = [&](std::int64_t as_of) {
    const auto disguise = make_disguise(*persona, 5, *policy, as_of);
    return disguise ? join((*disguise)->unhidden, "\n") : disguise.error().line();
  };
  EXPECT_THAT(said(today() - 30 * 86400),
              HasSubstr("the container was started before its machine"));
  EXPECT_THAT(said(this_minute()), Not(HasSubstr("before its machine")));
}

// What writes a log can.
TEST_F(Containers, LogsAreOfThoseWhoWriteThem) {
  for (const auto& [name, log] : {std::pair{"docker-service", "/var/log/invoicing/worker.log"},
                                  {"kubernetes-pod", "/var/log/app/access.log"}}) {
    start(spec_of(name, 5));
    EXPECT_EQ(say(std::string("test -w ") + log + " && test -w $(dirname " + log + ") && echo yes"),
              "yes\n")
        << name;
  }
}

}  // namespace
}  // namespace gyges::cues
