#include "sandbox/cues/persona.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace gyges::cues {
namespace {

using ::testing::HasSubstr;

struct Made {
  Persona persona;
  PersonaWorld world;
  std::map<std::string, isolation::SeedFile> files;
};

Made make(const char* name, std::uint64_t seed = 1) {
  Made made;
  auto persona = load_persona(name);
  if (!persona) throw std::runtime_error(persona.error().line());
  made.persona = *persona;
  TemplateContext context;
  context.day = *parse_day("2026-11-21");
  context.seed = seed;
  add_persona_values(made.persona, context);
  auto world = make_persona_world(made.persona, context);
  if (!world) throw std::runtime_error(world.error().line());
  made.world = *world;
  for (const auto& file : made.world.seed) made.files[file.path] = file;
  return made;
}

TEST(Persona, ShippedOnesAreMade) {
  for (const char* name : {"vm-production", "bare"}) {
    Made made = make(name);
    EXPECT_EQ(made.persona.name, name);
    EXPECT_EQ(made.persona.sha256.size(), 64U);
  }
}

TEST(Persona, NothingInItContradicts) {
  Made made = make("vm-production");
  const auto& identity = made.world.identity;
  EXPECT_EQ(made.files["/etc/hostname"].content, identity.hostname + "\n");
  EXPECT_THAT(made.files["/etc/hosts"].content,
              HasSubstr(identity.hostname + "." + made.persona.domain + " " + identity.hostname));
  EXPECT_THAT(made.files["/etc/passwd"].content,
              HasSubstr("\n" + identity.user + ":x:" + std::to_string(identity.uid) + ":" +
                        std::to_string(identity.gid) + ":"));
  EXPECT_THAT(made.files["/etc/passwd"].content, ::testing::StartsWith("root:x:0:0:"));
  EXPECT_THAT(made.files["/etc/group"].content,
              HasSubstr("\n" + identity.user + ":x:" + std::to_string(identity.gid) + ":"));
  EXPECT_THAT(made.files["/etc/resolv.conf"].content, HasSubstr("search " + made.persona.domain));
  EXPECT_THAT(made.files["/etc/motd"].content, HasSubstr(identity.hostname));
  EXPECT_EQ(made.world.cues.uptime_seconds, 5302368U);
  ASSERT_TRUE(made.files.contains(identity.home + "/.bashrc"));
  for (const auto& [path, file] : made.files) {
    EXPECT_LE(file.mtime, *parse_day("2026-11-21")) << path;
    EXPECT_NE(file.mtime, 0) << path;
  }
}

TEST(Persona, SeedChangesIdentifiersOnly) {
  Made one = make("vm-production", 1);
  EXPECT_EQ(one.files["/etc/machine-id"].content,
            make("vm-production", 1).files["/etc/machine-id"].content);
  Made two = make("vm-production", 2);
  EXPECT_NE(one.files["/etc/machine-id"].content, two.files["/etc/machine-id"].content);
  EXPECT_EQ(one.files["/etc/passwd"].content, two.files["/etc/passwd"].content);
}

TEST(Persona, UnknownNamesListTheShippedOnes) {
  EXPECT_THAT(load_persona("mars-rover").error().line(), HasSubstr("bare, ci-runner"));
  EXPECT_THAT(load_persona("/no/such/file.json").error().line(), HasSubstr("No such file"));
}

TEST(Persona, PutsItselfIntoAPolicy) {
  isolation::Policy policy;
  policy.environment_pass = {"TERM"};
  apply_persona(make("vm-production").world, policy);
  EXPECT_EQ(policy.identity.user, "svc-autops");
  EXPECT_TRUE(policy.environment_pass.empty());
  EXPECT_THAT(policy.environment_set, ::testing::Contains(std::pair<std::string, std::string>(
                                          "MAIL", "/var/mail/svc-autops")));
}

}  // namespace
}  // namespace gyges::cues
