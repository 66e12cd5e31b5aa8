// How long a persona takes from its name to the files, the disguise and the environment of a run:
// the first time in a process, and for each further run with a seed of its own.
//
//   persona_bench [ROUNDS]      prints one line of JSON for each shipped persona
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/assets.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/persona.h"

namespace {

using namespace gyges;

// Seed files, or -1.
int build(const std::string& name, std::uint64_t seed) {
  auto persona = cues::load_persona(name);
  auto policy = isolation::load_policy("episode");
  if (!persona || !policy) return -1;
  cues::draw_hostname(*persona, seed);
  cues::TemplateContext context;
  context.day = cues::today();
  context.seed = seed;
  cues::add_persona_values(*persona, context);
  auto world = cues::make_persona_world(*persona, context);
  if (!world) return -1;
  cues::apply_persona(*world, *policy);
  if (!cues::make_disguise(*persona, seed, *policy)) return -1;
  return static_cast<int>(world->seed.size());
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 50;
  for (std::string_view file : assets_below("policies/personas/")) {
    const std::string name(file.substr(18, file.size() - 18 - 5));  // without directory and ".json"
    std::vector<double> milliseconds;
    int files = 0;
    for (int i = 0; i <= rounds; ++i) {
      const auto from = std::chrono::steady_clock::now();
      files = build(name, static_cast<std::uint64_t>(i));
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - from;
      if (files < 0) {
        std::fprintf(stderr, "persona_bench: %s could not be made\n", name.c_str());
        return 1;
      }
      milliseconds.push_back(took.count());
    }
    std::sort(milliseconds.begin() + 1, milliseconds.end());
    std::printf("{\"persona\": \"%s\", \"files\": %d, \"first_ms\": %.2f, \"later_ms\": %.2f}\n",
                name.c_str(), files, milliseconds.front(),
                milliseconds[1 + static_cast<std::size_t>(rounds) / 2]);
  }
  return 0;
}
