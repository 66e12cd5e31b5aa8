// A persona: one manifest of everything an agent can observe about its machine. Hostname, accounts,
// files, environment and uptime all come from it and from one seed, so that nothing contradicts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/git_history.h"
#include "sandbox/cues/machine.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/cues/world_files.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::cues {

struct Account {
  std::string name;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string full_name;
  std::string home;
  std::string shell;
};

struct Group {
  std::string name;
  std::uint32_t gid = 0;
  std::vector<std::string> members;
};

struct Persona {
  std::string name;
  std::string sha256;  // of the manifest's bytes
  std::string company, domain, site;
  std::string hostname;
  Account user;
  std::vector<Group> user_groups;  // beyond the user's own
  std::vector<Account> accounts;
  std::vector<Group> groups;
  std::vector<std::string> os_release;  // empty: the host's file stays
  std::string time_zone;
  std::uint64_t uptime_seconds = 0;
  std::vector<std::pair<std::string, std::string>> environment;  // values are templates
  std::map<std::string, std::string> facts;  // what holds here, as levels of factors state it
  std::string address;
  std::string mac_prefix;           // "fa:16:3e"; empty: the kernel's choice
  std::vector<std::string> search;  // empty: the domain
  std::string resolver_options;     // "ndots:5"
  std::vector<std::string> nameservers;
  std::vector<std::string> hosts;
  std::vector<WorldFile> files;
  std::vector<LogSeries> logs;
  std::vector<GitHistory> git;
  std::optional<Machine> machine;                     // absent: the host's looks stay
  std::string internet;                               // the section as JSON; empty: none
  std::map<std::string, std::string> internet_files;  // by the keys of network::world_from_json()
};

// What one run of a persona shows.
struct PersonaWorld {
  std::vector<isolation::SeedFile> seed;
  isolation::Identity identity;
  std::vector<std::pair<std::string, std::string>> environment;
  isolation::CueRules cues;
  std::string mac;  // of the interface; empty: the kernel's choice
};

// `name_or_path`: a shipped persona ("vm-production") or a manifest file.
Result<Persona> load_persona(std::string_view name_or_path);

// Gives a persona whose host name has places for it the name of one run.
void draw_hostname(Persona& persona, std::uint64_t seed);

// The number of the user's login, by cgroup, audit and environment.
std::uint64_t session_of(std::uint64_t seed);

// Adds persona.company, persona.hostname, ... to the values that templates may show.
void add_persona_values(const Persona& persona, TemplateContext& context);

// When the machine was set up, seen from the start of a day; both in seconds since 1970.
std::int64_t installation_time(std::int64_t day);

// `context` already has the persona's values; its day and seed decide dates and identifiers.
Result<PersonaWorld> make_persona_world(const Persona& persona, const TemplateContext& context);

// Puts the persona's identity, environment and uptime into a policy.
void apply_persona(const PersonaWorld& world, isolation::Policy& policy);

}  // namespace gyges::cues
