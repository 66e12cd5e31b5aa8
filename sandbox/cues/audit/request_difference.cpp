#include "sandbox/cues/audit/request_difference.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

constexpr std::size_t longest_shown = 400;

// Leaves of a document by their pointers. Texts that hold JSON themselves stay texts.
void leaves_of(const json& value, const std::string& place, std::map<std::string, json>& leaves) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [name, member] : value.items()) {
      std::string escaped;
      for (char c : name) escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
      leaves_of(member, place + "/" + escaped, leaves);
    }
  } else if (value.is_array() && !value.empty()) {
    for (std::size_t i = 0; i < value.size(); ++i)
      leaves_of(value[i], place + "/" + std::to_string(i), leaves);
  } else {
    leaves.emplace(place, value);
  }
}

Result<std::map<std::string, json>> leaves_of_body(const std::string& body,
                                                   const std::string& source) {
  GYGES_TRY(json value, parse_json(body, source));
  std::map<std::string, json> leaves;
  leaves_of(value, "", leaves);
  return leaves;
}

std::string shown(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Lines that only one of two texts has, with their number.
std::vector<std::string> lines_without(const std::string& text, const std::string& other) {
  std::map<std::string, int> counts;
  for (std::string& line : split(other, '\n')) ++counts[std::move(line)];
  std::vector<std::string> left;
  for (std::string& line : split(text, '\n'))
    if (--counts[line] < 0) left.push_back(std::move(line));
  return left;
}

bool stands_in(const std::string& line, const std::vector<std::string>& texts) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& text) { return text.find(line) != std::string::npos; });
}

// All of a side's own lines stand in what the factor put there.
bool accounted(const std::vector<std::string>& lines, const std::vector<std::string>& texts) {
  return std::all_of(lines.begin(), lines.end(), [&](const std::string& line) {
    return line.empty() || stands_in(line, texts);
  });
}

const std::vector<std::string>& texts_of(const RequestCondition& condition,
                                         const std::string& factor) {
  static const std::vector<std::string> none;
  const auto found = condition.declared.find(factor);
  return found == condition.declared.end() ? none : found->second;
}

std::string factor_for(const std::vector<std::string>& first_lines,
                       const std::vector<std::string>& second_lines, const RequestCondition& first,
                       const RequestCondition& second) {
  std::set<std::string> factors;
  for (const RequestCondition* side : {&first, &second})
    for (const auto& [name, texts] : side->declared) factors.insert(name);
  for (const std::string& name : factors)
    if (accounted(first_lines, texts_of(first, name)) &&
        accounted(second_lines, texts_of(second, name)))
      return name;
  // Two factors may share a line's place: each line then is of one of them.
  auto by_any = [](const std::vector<std::string>& lines, const RequestCondition& side) {
    return std::all_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.empty() ||
             std::any_of(side.declared.begin(), side.declared.end(),
                         [&](const auto& of) { return stands_in(line, of.second); });
    });
  };
  if (factors.size() > 1 && by_any(first_lines, first) && by_any(second_lines, second)) {
    return join({factors.begin(), factors.end()}, " + ");
  }
  return {};
}

std::string cut(std::string text) {
  if (text.size() > longest_shown) text = text.substr(0, longest_shown - 3) + "...";
  return text;
}

std::size_t shared_answers(const RequestRun& first, const RequestRun& second) {
  std::size_t same = 0;
  while (same < first.answers.size() && same < second.answers.size() &&
         first.answers[same] == second.answers[same])
    ++same;
  return same;
}

using Leaves = std::vector<std::map<std::string, json>>;  // by request

Result<std::vector<Leaves>> read_runs(const RequestCondition& condition) {
  std::vector<Leaves> all;
  for (const RequestRun& run : condition.runs) {
    Leaves leaves;
    for (std::size_t i = 0; i < run.requests.size(); ++i) {
      GYGES_TRY(leaves.emplace_back(),
                leaves_of_body(run.requests[i], run.name + ", request " + std::to_string(i)));
    }
    all.push_back(std::move(leaves));
  }
  return all;
}

const json* find_leaf(const std::map<std::string, json>& leaves, const std::string& place) {
  const auto found = leaves.find(place);
  return found == leaves.end() ? nullptr : &found->second;
}

}  // namespace

Result<RequestAudit> compare_requests(const RequestCondition& first,
                                      const RequestCondition& second) {
  if (first.runs.empty() || second.runs.empty())
    return fail("compare requests", "", "a condition has no run");
  GYGES_TRY(std::vector<Leaves> left, read_runs(first));
  GYGES_TRY(std::vector<Leaves> right, read_runs(second));
  RequestAudit audit;
  // As far as every run of either condition was answered alike, and one request further.
  std::size_t shared = ~std::size_t{0};
  std::size_t fewest = ~std::size_t{0};
  std::size_t most = 0;
  const RequestRun& model = first.runs.front();
  for (const RequestCondition* side : {&first, &second})
    for (const RequestRun& run : side->runs) {
      if (&run != &model) shared = std::min(shared, shared_answers(model, run));
      fewest = std::min(fewest, run.requests.size());
      most = std::max(most, run.requests.size());
    }
  audit.compared = std::min(fewest, shared == ~std::size_t{0} ? fewest : shared + 1);
  audit.parted = most - audit.compared;
  for (std::size_t i = 0; i < audit.compared; ++i) {
    std::set<std::string> places;
    for (const auto* side : {&left, &right})
      for (const Leaves& run : *side)
        for (const auto& [place, value] : run[i]) places.insert(place);
    for (const std::string& place : places) {
      auto settled = [&](const std::vector<Leaves>& runs) {
        const json* one = find_leaf(runs.front()[i], place);
        return std::all_of(runs.begin(), runs.end(), [&](const Leaves& run) {
          const json* other = find_leaf(run[i], place);
          return (one == nullptr) == (other == nullptr) && (one == nullptr || *one == *other);
        });
      };
      if (!settled(left) || !settled(right)) {
        audit.noise.push_back(std::to_string(i) + place);
        continue;
      }
      const json* one = find_leaf(left.front()[i], place);
      const json* other = find_leaf(right.front()[i], place);
      if (one != nullptr && other != nullptr && *one == *other) continue;
      const std::string one_text = one == nullptr ? "" : shown(*one);
      const std::string other_text = other == nullptr ? "" : shown(*other);
      const std::vector<std::string> one_lines = lines_without(one_text, other_text);
      const std::vector<std::string> other_lines = lines_without(other_text, one_text);
      // Lines in another order are no lines of their own; the whole text is shown then.
      const bool moved = one_lines.empty() && other_lines.empty();
      audit.differences.push_back({i, place, cut(moved ? one_text : join(one_lines, "\n")),
                                   cut(moved ? other_text : join(other_lines, "\n")),
                                   moved ? "" : factor_for(one_lines, other_lines, first, second)});
    }
  }
  return audit;
}

}  // namespace gyges::cues
