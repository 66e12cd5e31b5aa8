// What a policy, a persona and a directory come to: the inputs of a sandbox, made the same way for
// one command and for a session of many.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::run {

struct PersonaRecord {
  std::string name;
  std::string sha256;
  std::string as_of;  // the moment that its world is seen at, "2026-11-21T14:03:00Z"
};

struct RunInputs {
  isolation::Policy policy;
  std::vector<isolation::SeedFile> seed;
  std::string packed_world;                             // of the persona's internet; empty: none
  std::shared_ptr<const isolation::Disguise> disguise;  // of the persona; null: none
  std::optional<PersonaRecord> persona;                 // absent: none
};

// `persona` is the name of a shipped persona or the path of a manifest; `seed` decides what it
// generates, and `as_of` what its world's dates count from (seconds since 1970; 0: now, to the
// minute). `workspace` (absolute, without symbolic links) is shown as the policy says. Nobody
// inside shall sign records, or read what other runs there were: the seal's key and ledger and
// `records`, where records are kept (empty: nowhere), are masked, and so are the files `secrets`.
// `launch`: this thread starts the sandbox at once, and a persona's pid 1 is launched ahead.
Result<RunInputs> make_run_inputs(isolation::Policy policy,
                                  const std::optional<std::string>& persona, std::uint64_t seed,
                                  std::int64_t as_of, const std::filesystem::path& workspace,
                                  const std::filesystem::path& records,
                                  const std::vector<std::filesystem::path>& secrets = {},
                                  bool launch = false);

}  // namespace gyges::run
