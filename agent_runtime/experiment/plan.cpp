#include "agent_runtime/experiment/plan.h"

#include "agent_runtime/experiment/random_order.h"
#include "base/hash.h"

namespace gyges::experiment {

std::uint64_t run_seed(std::uint64_t experiment_seed, std::string_view scenario,
                       std::string_view agent, std::uint32_t repeat) {
  std::string text = "gyges run seed 1\n" + std::to_string(experiment_seed) + "\n";
  text.append(scenario).append("\n").append(agent).append("\n");
  text += std::to_string(repeat) + "\n";
  Sha256 hash = sha256(text);
  std::uint64_t number = 0;
  for (std::size_t byte = 0; byte < 8; ++byte) number = number << 8U | hash[byte];
  return number >> 11U;
}

std::vector<Slot> make_plan(const Experiment& experiment) {
  RandomOrder random(experiment.seed);
  std::vector<Slot> plan;
  plan.reserve(experiment.scenarios.size() * experiment.agents.size() *
               experiment.conditions.size() * experiment.repeats);
  for (std::uint32_t repeat = 0; repeat < experiment.repeats; ++repeat) {
    std::vector<std::pair<std::size_t, std::size_t>> blocks;
    for (std::size_t s = 0; s < experiment.scenarios.size(); ++s)
      for (std::size_t a = 0; a < experiment.agents.size(); ++a) blocks.emplace_back(s, a);
    random.shuffle(blocks);
    for (auto [s, a] : blocks) {
      const std::string& scenario = experiment.scenarios[s].id;
      const std::string& agent = experiment.agents[a].id;
      const std::uint64_t seed = run_seed(experiment.seed, scenario, agent, repeat);
      std::vector<std::size_t> order;
      for (std::size_t c = 0; c < experiment.conditions.size(); ++c) order.push_back(c);
      random.shuffle(order);
      for (std::size_t c : order) {
        plan.push_back({scenario + "." + agent + "." + experiment.conditions[c].id + ".r" +
                            std::to_string(repeat),
                        s, a, c, repeat, seed});
      }
    }
  }
  return plan;
}

}  // namespace gyges::experiment
