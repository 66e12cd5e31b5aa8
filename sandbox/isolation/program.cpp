#include "sandbox/isolation/program.h"

#include <algorithm>

namespace gyges::isolation {

std::string encode_program(const Plan& plan, const std::vector<std::string>& filters) {
  std::string bytes;
  auto append = [&](const auto& value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  init::ProgramHeader header = plan.settings;
  header.steps = static_cast<std::uint32_t>(plan.steps.size());
  header.filters = static_cast<std::uint32_t>(filters.size());
  append(header);
  for (const std::string& filter : filters) {
    append(static_cast<std::uint64_t>(filter.size() / 8));  // the count, padded to 8 bytes
    bytes += filter;
  }
  for (const Step& step : plan.steps) {
    init::StepHeader step_header;
    step_header.op = step.op;
    step_header.lengths[0] = static_cast<std::uint32_t>(step.a.size());
    step_header.lengths[1] = static_cast<std::uint32_t>(step.b.size());
    step_header.lengths[2] = static_cast<std::uint32_t>(step.c.size());
    std::copy(std::begin(step.number), std::end(step.number), std::begin(step_header.number));
    append(step_header);
    for (const std::string* text : {&step.a, &step.b, &step.c}) {
      bytes += *text;
      bytes += '\0';
    }
  }
  return bytes;
}

}  // namespace gyges::isolation
