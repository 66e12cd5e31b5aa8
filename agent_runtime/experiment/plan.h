// The runs of an experiment: which there are, with which seed, in which order. The same experiment
// gives the same plan on every host and with every standard library.
//
// Design: a pair (more generally a block) is one scenario, agent and repeat under every condition;
// its runs share one seed. Order: repeat by repeat, in each repeat the blocks in random order, and
// in each block the conditions in random order. So the runs that are compared stand next to each
// other in time and no condition is always first: drift of a model, of the host or of the time of
// day falls on all conditions alike.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/experiment/experiment.h"

namespace gyges::experiment {

struct Slot {
  std::string name;          // "<scenario>.<agent>.<condition>.r<repeat>": the run's directory
  std::size_t scenario = 0;  // indexes into the experiment's lists
  std::size_t agent = 0;
  std::size_t condition = 0;
  std::uint32_t repeat = 0;  // from 0
  std::uint64_t seed = 0;    // at most max_exact_integer
};

// In order of execution.
std::vector<Slot> make_plan(const Experiment& experiment);

// The first 53 bits of SHA-256 over "gyges run seed 1", the experiment's seed, scenario, agent and
// repeat, each on a line of its own. The condition is left out: that is the pairing.
std::uint64_t run_seed(std::uint64_t experiment_seed, std::string_view scenario,
                       std::string_view agent, std::uint32_t repeat);

}  // namespace gyges::experiment
