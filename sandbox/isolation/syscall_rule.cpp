#include "sandbox/isolation/syscall_rule.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/recorder/format/flag_sets.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::isolation {
namespace {

using nlohmann::json;
using Compare = ArgumentCondition::Compare;

constexpr std::uint64_t whole = ~std::uint64_t{0};

struct CompareName {
  Compare compare;
  std::string_view name;  // in the policy
  std::string_view sign;  // for people
};
constexpr std::array compares{
    CompareName{Compare::equal, "eq", "=="},  CompareName{Compare::not_equal, "ne", "!="},
    CompareName{Compare::less, "lt", "<"},    CompareName{Compare::less_equal, "le", "<="},
    CompareName{Compare::greater, "gt", ">"}, CompareName{Compare::greater_equal, "ge", ">="}};

const CompareName& row_of(Compare compare) {
  for (const CompareName& row : compares)
    if (row.compare == compare) return row;
  return compares.front();
}

const recorder::ArgumentSpec* specification(std::string_view syscall, unsigned index) {
  const recorder::SyscallSpec* spec = recorder::find_syscall(recorder::Abi::x86_64, syscall);
  if (spec == nullptr || index >= spec->argument_count) return nullptr;
  return &spec->arguments[index];
}

std::string errno_word(int code) {
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? name : std::to_string(code);
}

Result<int> errno_of(const json& value, std::string_view place) {
  if (value.is_number_integer()) return value.get<int>();
  auto word = value.get<std::string>();
  for (int code = 1; code < 134; ++code)
    if (const char* name = ::strerrorname_np(code); name != nullptr && word == name) return code;
  return fail("check policy", std::string(place) + "/errno", quoted(word) + " is no errno",
              "use a name of errno(3), for example EPERM or ENOSYS");
}

Result<std::uint64_t> number_of(const json& value, std::string_view syscall, unsigned index,
                                std::string_view place) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (value.is_number_integer()) return static_cast<std::uint64_t>(value.get<std::int64_t>());
  auto number = argument_value(value.get<std::string>(), syscall, index);
  if (!number) number.error().object = std::string(place);
  return number;
}

Result<ArgumentCondition> read_condition(const json& item, std::string_view syscall,
                                         const std::string& place) {
  ArgumentCondition condition;
  condition.index = item.at("index").get<unsigned>();
  if (auto spec = recorder::find_syscall(recorder::Abi::x86_64, syscall);
      spec != nullptr && condition.index >= spec->argument_count)
    return fail("check policy", place + "/index",
                fmt::format("{} has {} arguments", printable(syscall), spec->argument_count),
                "count arguments from 0");
  auto name = item.value("op", "eq");
  for (const CompareName& row : compares)
    if (row.name == name) condition.compare = row.compare;
  GYGES_TRY(condition.value,
            number_of(item.at("value"), syscall, condition.index, place + "/value"));
  if (item.contains("mask")) {
    GYGES_TRY(condition.mask,
              number_of(item.at("mask"), syscall, condition.index, place + "/mask"));
  }
  if ((condition.value & ~condition.mask) != 0)
    return fail("check policy", place, "the value has bits outside the mask: it can never be equal",
                "take these bits out of the value, or into the mask");
  return condition;
}

}  // namespace

Result<std::uint64_t> argument_value(std::string_view text, std::string_view syscall,
                                     unsigned index) {
  auto number = [](std::string_view word) -> std::optional<std::uint64_t> {
    bool negative = word.starts_with('-');
    if (negative) word.remove_prefix(1);
    int base = word.starts_with("0x") ? 16 : 10;
    if (base == 16) word.remove_prefix(2);
    std::uint64_t value = 0;
    auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    if (word.empty() || code != std::errc() || end != word.data() + word.size()) return {};
    return negative ? ~value + 1 : value;
  };
  const recorder::ArgumentSpec* spec = specification(syscall, index);
  const recorder::FlagSet* set =
      spec != nullptr && !spec->set.empty() ? recorder::find_flag_set(spec->set) : nullptr;
  bool is_signal = spec != nullptr && spec->kind == recorder::ArgumentKind::signal;
  std::uint64_t result = 0;
  for (const std::string& word : split(std::string(text), '|')) {
    if (auto plain = number(word)) {
      result |= *plain;
      continue;
    }
    bool known = false;
    for (const auto* names :
         {set == nullptr ? nullptr : &set->values, set == nullptr ? nullptr : &set->bits}) {
      if (names == nullptr) continue;
      for (const recorder::FlagName& flag : *names)
        if (flag.name == word) {
          result |= flag.value;
          known = true;
        }
    }
    for (std::uint64_t signal = 1; is_signal && signal < 32; ++signal)
      if (word == recorder::signal_name(signal)) {
        result |= signal;
        known = true;
      }
    if (!known)
      return fail("read argument", fmt::format("{} of {}", index, printable(syscall)),
                  quoted(word) + " is no number and no name known for this argument",
                  "write the number, in decimal or with 0x in hexadecimal");
  }
  return result;
}

Result<SyscallRule> read_syscall_rule(const json& item, std::string_view place) {
  SyscallRule rule;
  if (item.is_string()) {
    rule.syscall = item.get<std::string>();
    return rule;
  }
  rule.syscall = item.at("syscall").get<std::string>();
  if (item.contains("args"))
    for (const json& argument : item.at("args")) {
      GYGES_TRY(ArgumentCondition condition,
                read_condition(argument, rule.syscall,
                               fmt::format("{}/args/{}", place, rule.arguments.size())));
      rule.arguments.push_back(condition);
    }
  rule.kill = item.value("action", "errno") == "kill_process";
  if (item.contains("errno")) {
    GYGES_TRY(rule.code, errno_of(item.at("errno"), place));
    if (rule.kill)
      return fail("check policy", std::string(place), "a killed process is told no errno",
                  "remove errno, or use the action errno");
  }
  return rule;
}

json syscall_rule_to_json(const SyscallRule& rule) {
  if (rule == SyscallRule{rule.syscall, {}, EPERM, false}) return rule.syscall;
  json item = {{"syscall", rule.syscall}};
  for (const ArgumentCondition& condition : rule.arguments) {
    json argument = {{"index", condition.index},
                     {"op", row_of(condition.compare).name},
                     {"value", condition.value}};
    if (condition.mask != whole) argument["mask"] = condition.mask;
    item["args"].push_back(std::move(argument));
  }
  if (rule.kill) item["action"] = "kill_process";
  if (!rule.kill && rule.code != EPERM) item["errno"] = errno_word(rule.code);
  return item;
}

std::string condition_words(const SyscallRule& rule) {
  std::vector<std::string> parts;
  for (const ArgumentCondition& condition : rule.arguments) {
    std::string words = fmt::format("argument {}", condition.index);
    const recorder::ArgumentSpec* spec = specification(rule.syscall, condition.index);
    if (spec != nullptr) words += fmt::format(" ({})", spec->name);
    if (condition.mask != whole) words += fmt::format(" & {:#x}", condition.mask);
    bool named = spec != nullptr && !spec->set.empty();
    words += fmt::format(" {} {}", row_of(condition.compare).sign,
                         named ? recorder::flag_text(spec->set, condition.value)
                               : fmt::format("{:#x}", condition.value));
    parts.push_back(std::move(words));
  }
  return join(parts, " and ");
}

}  // namespace gyges::isolation
