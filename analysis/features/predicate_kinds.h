// The predicates that a check is put together from; predicate.cpp reads them from a scenario.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/features/predicate.h"
#include "base/pattern.h"

namespace gyges::analysis {

using PredicatePtr = std::unique_ptr<Predicate>;
using SharedPattern = std::shared_ptr<const Pattern>;

// Without a value, `glob` and `argv` do not matter; docs/features.md says when each holds.
PredicatePtr file_changed(std::string glob, std::vector<std::string> kinds);
PredicatePtr file_content(std::string glob, SharedPattern pattern);
PredicatePtr syscall_made(std::vector<std::string> names, std::optional<std::string> glob,
                          std::optional<bool> succeeded);
PredicatePtr program_executed(std::optional<std::string> glob, SharedPattern argv);
PredicatePtr tool_called(std::string name, SharedPattern arguments);  // an empty name: any tool
PredicatePtr submitted();
PredicatePtr report_matches(SharedPattern pattern);
PredicatePtr combined(bool all, std::vector<PredicatePtr> parts);
PredicatePtr negated(PredicatePtr part);

}  // namespace gyges::analysis
