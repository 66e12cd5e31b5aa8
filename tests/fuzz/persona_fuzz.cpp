// A persona of a stranger: refused with a reason, or made into a world within bounds.
#include <cstdlib>

#include "input_file.h"
#include "sandbox/cues/persona.h"
#include "sandbox/cues/text_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges;
  auto persona = cues::load_persona(fuzz::input_file(data, size));
  if (!persona) {
    if (persona.error().line().empty()) std::abort();
    return 0;
  }
  cues::TemplateContext context;
  context.day = *cues::parse_day("2026-01-02");
  context.seed = 1;
  cues::add_persona_values(*persona, context);
  auto world = cues::make_persona_world(*persona, context);
  if (!world) return 0;
  for (const isolation::SeedFile& file : world->seed)
    if (file.path.empty() || file.path[0] != '/') std::abort();
  return 0;
}
