// A sandbox under a shipped persona, as a run would have it.
#pragma once

#include <functional>
#include <stdexcept>

#include "sandbox/cues/disguise.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::cues {

// `change`: what is to be another in the manifest.
inline isolation::SandboxSpec spec_of(const char* name, std::uint64_t seed,
                                      const std::function<void(Persona&)>& change = {}) {
  isolation::SandboxSpec spec;
  auto persona = load_persona(name);
  if (persona && change) change(*persona);
  auto policy = isolation::load_policy("episode");
  if (!persona || !policy) throw std::runtime_error("no persona or policy");
  policy->limits.wall_seconds = 60;
  TemplateContext context;
  context.as_of = this_minute();
  context.day = day_of(context.as_of);
  context.seed = seed;
  draw_hostname(*persona, seed);
  add_persona_values(*persona, context);
  auto world = make_persona_world(*persona, context);
  if (!world) throw std::runtime_error(world.error().line());
  apply_persona(*world, *policy);
  auto disguise = make_disguise(*persona, seed, *policy, context.as_of);
  if (!disguise) throw std::runtime_error(disguise.error().line());
  spec.policy = *policy;
  spec.seed = world->seed;
  spec.disguise = std::move(*disguise);
  return spec;
}

}  // namespace gyges::cues
