#include "analysis/features/predicate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "analysis/features/predicate_kinds.h"
#include "base/json.h"
#include "base/pattern.h"

namespace gyges::analysis {
namespace {

using Json = nlohmann::json;
using Built = Result<std::unique_ptr<Predicate>>;

// Every run of a scenario asks the same: compiled once on each thread.
Result<SharedPattern> compiled_pattern(const std::string& expression) {
  constexpr std::size_t most_patterns = 256;
  thread_local std::map<std::string, SharedPattern> known;
  if (auto found = known.find(expression); found != known.end()) return found->second;
  GYGES_TRY(Pattern pattern, Pattern::compile(expression));
  if (known.size() >= most_patterns) known.clear();
  return known.emplace(expression, std::make_shared<const Pattern>(std::move(pattern)))
      .first->second;
}

// Members of a predicate's object, with errors that name the place.
class Members {
 public:
  Members(const Json& json, std::string place) : json_(json), place_(std::move(place)) {}

  [[nodiscard]] Status known(std::initializer_list<std::string_view> names) const {
    if (!json_.is_object()) return fail("read check", place_, "is not an object");
    for (const auto& [key, value] : json_.items())
      if (std::find(names.begin(), names.end(), key) == names.end())
        return fail("read check", place_ + "/" + key, "unknown key");
    return ok();
  }
  [[nodiscard]] std::optional<std::string> text(const char* name) const {
    auto found = json_.find(name);
    if (found == json_.end() || !found->is_string()) return std::nullopt;
    return found->get<std::string>();
  }
  [[nodiscard]] Result<std::string> required(const char* name) const {
    std::optional<std::string> value = text(name);
    if (!value) return fail("read check", place_ + "/" + name, "is missing or not a text");
    return *value;
  }
  [[nodiscard]] Result<std::vector<std::string>> list(const char* name) const {
    auto found = json_.find(name);
    if (found == json_.end() || !found->is_array() || found->empty())
      return fail("read check", place_ + "/" + name, "is missing or not a list");
    std::vector<std::string> values;
    for (const Json& item : *found) {
      if (!item.is_string()) return fail("read check", place_ + "/" + name, "holds no texts");
      values.push_back(item.get<std::string>());
    }
    return values;
  }
  [[nodiscard]] const Json& json() const { return json_; }

 private:
  const Json& json_;
  std::string place_;
};

Built build_file_changed(const Json& json, const std::string& place) {
  Members members(json, place);
  GYGES_CHECK(members.known({"path", "change"}));
  GYGES_TRY(std::string glob, members.required("path"));
  GYGES_TRY(std::vector<std::string> kinds, members.list("change"));
  return file_changed(std::move(glob), std::move(kinds));
}

Built build_file_content(const Json& json, const std::string& place) {
  Members members(json, place);
  GYGES_CHECK(members.known({"path", "matches"}));
  GYGES_TRY(std::string glob, members.required("path"));
  GYGES_TRY(std::string expression, members.required("matches"));
  GYGES_TRY(SharedPattern pattern, compiled_pattern(expression));
  return file_content(std::move(glob), std::move(pattern));
}

Built build_syscall(const Json& json, const std::string& place) {
  Members members(json, place);
  GYGES_CHECK(members.known({"names", "path", "succeeded"}));
  GYGES_TRY(std::vector<std::string> names, members.list("names"));
  std::optional<bool> succeeded;
  if (json.contains("succeeded")) {
    if (!json["succeeded"].is_boolean())
      return fail("read check", place + "/succeeded", "is neither true nor false");
    succeeded = json["succeeded"].get<bool>();
  }
  return syscall_made(std::move(names), members.text("path"), succeeded);
}

Built build_exec(const Json& json, const std::string& place) {
  Members members(json, place);
  GYGES_CHECK(members.known({"path", "argv_matches"}));
  SharedPattern argv;
  if (std::optional<std::string> expression = members.text("argv_matches")) {
    GYGES_TRY(argv, compiled_pattern(*expression));
  }
  return program_executed(members.text("path"), std::move(argv));
}

Built build_tool_call(const Json& json, const std::string& place) {
  Members members(json, place);
  GYGES_CHECK(members.known({"name", "arguments_match"}));
  GYGES_TRY(std::string expression, members.required("arguments_match"));
  GYGES_TRY(SharedPattern pattern, compiled_pattern(expression));
  return tool_called(members.text("name").value_or(""), std::move(pattern));
}

Built build_submitted(const Json& json, const std::string& place) {
  if (json != true) return fail("read check", place, "must be true");
  return submitted();
}

Built build_report_matches(const Json& json, const std::string& place) {
  if (!json.is_string()) return fail("read check", place, "is not a text");
  GYGES_TRY(SharedPattern pattern, compiled_pattern(json.get<std::string>()));
  return report_matches(std::move(pattern));
}

Built build_combined(const Json& json, const std::string& place, bool all) {
  if (!json.is_array() || json.empty())
    return fail("read check", place, "is no list of predicates");
  std::vector<std::unique_ptr<Predicate>> parts;
  for (std::size_t i = 0; i < json.size(); ++i) {
    GYGES_TRY(auto part, build_predicate(json[i], fmt::format("{}/{}", place, i)));
    parts.push_back(std::move(part));
  }
  return combined(all, std::move(parts));
}

Built build_all(const Json& json, const std::string& place) {
  return build_combined(json, place, true);
}
Built build_any(const Json& json, const std::string& place) {
  return build_combined(json, place, false);
}
Built build_not(const Json& json, const std::string& place) {
  GYGES_TRY(auto part, build_predicate(json, place));
  return negated(std::move(part));
}

constexpr std::pair<std::string_view, Built (*)(const Json&, const std::string&)> builders[] = {
    {"file_changed", build_file_changed},
    {"file_content", build_file_content},
    {"syscall", build_syscall},
    {"exec", build_exec},
    {"tool_call", build_tool_call},
    {"submitted", build_submitted},
    {"report_matches", build_report_matches},
    {"all", build_all},
    {"any", build_any},
    {"not", build_not},
};

}  // namespace

Built build_predicate(const Json& json, const std::string& place) {
  if (!json.is_object() || json.size() != 1)
    return fail("read check", place, "is not an object with exactly one predicate");
  auto only = json.begin();
  for (const auto& [name, build] : builders)
    if (only.key() == name) return build(only.value(), place + "/" + only.key());
  return fail("read check", place + "/" + only.key(), "unknown predicate");
}

Result<CheckSet> CheckSet::build(const Run& run) {
  CheckSet set(run);
  for (std::size_t i = 0; i < run.checks->size(); ++i) {
    const Json& check = (*run.checks)[i];
    std::string place = fmt::format("checks/{}", i);
    if (!check.is_object()) return fail("read check", place, "is not an object");
    Entry entry;
    Members members(check, place);
    GYGES_TRY(entry.result.name, members.required("name"));
    GYGES_TRY(entry.result.kind, members.required("kind"));
    GYGES_TRY(entry.result.title, members.required("title"));
    GYGES_TRY(entry.predicate, build_predicate(check.value("when", Json()), place + "/when"));
    entry.predicate->watch(set.watchers_);
    set.entries_.push_back(std::move(entry));
  }
  return set;
}

void CheckSet::observe(const Act& act) {
  if (!act.is_syscall()) return;
  auto tell = [&](const std::vector<Predicate*>& watching) {
    for (Predicate* predicate : watching) predicate->observe(act, *run_);
  };
  if (act.is_exec()) tell(watchers_.execs);
  if (!watchers_.changes.empty() && act.changes_any()) tell(watchers_.changes);
  if (act.does.place < watchers_.calls.size()) tell(watchers_.calls[act.does.place]);
}

std::vector<CheckResult> CheckSet::finish(const TraceFacts& trace) const {
  std::vector<CheckResult> results;
  for (const Entry& entry : entries_) {
    results.push_back(entry.result);
    results.back().answer = entry.predicate->answer(*run_, trace);
  }
  return results;
}

}  // namespace gyges::analysis
