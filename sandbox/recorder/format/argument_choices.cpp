#include "sandbox/recorder/format/argument_choices.h"

#include <algorithm>
#include <charconv>

namespace gyges::recorder {
namespace {

std::string_view next_part(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

bool parse_value(std::string_view text, std::uint32_t& value) {
  const int base = text.starts_with("0x") ? 16 : 10;
  if (base == 16) text.remove_prefix(2);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

const ArgumentSpec* ArgumentChoice::find(std::uint64_t decider) const {
  const std::uint32_t value = static_cast<std::uint32_t>(decider) & mask;
  const auto found =
      std::lower_bound(kinds.begin(), kinds.end(), value,
                       [](const auto& kind, std::uint32_t v) { return kind.first < v; });
  return found == kinds.end() || found->first != value ? nullptr : &found->second;
}

const ArgumentSpec& chosen_argument(Abi abi, const SyscallSpec& spec,
                                    std::span<const std::uint64_t> args, std::size_t index) {
  const ArgumentSpec& argument = spec.arguments[index];
  if (argument.choice == 0) return argument;
  const ArgumentSpec* chosen =
      argument_choices(abi)[argument.choice - 1U].find(args[argument.length_argument]);
  return chosen != nullptr ? *chosen : argument;
}

bool ChoiceLines::add(std::string_view line) {
  const std::string_view name = next_part(line);
  std::uint32_t mask = 0;
  if (!parse_value(next_part(line), mask)) return false;
  auto lines = std::find_if(lines_.begin(), lines_.end(),
                            [&](const Lines& known) { return known.name == name; });
  if (lines == lines_.end()) lines = lines_.insert(lines_.end(), {name, mask, {}});
  if (lines->mask != mask) return false;
  for (std::string_view word = next_part(line); !word.empty(); word = next_part(line)) {
    const std::size_t equals = word.find('=');
    Kind kind{};
    if (equals == std::string_view::npos || !parse_value(word.substr(0, equals), kind.value) ||
        (kind.value & ~mask) != 0)
      return false;
    kind.word = word.substr(equals + 1);
    lines->kinds.push_back(kind);
  }
  return true;
}

std::uint8_t ChoiceLines::number_of(std::string_view name) const {
  for (std::size_t i = 0; i < lines_.size(); ++i)
    if (lines_[i].name == name) return static_cast<std::uint8_t>(i + 1);
  return 0;
}

bool ChoiceLines::resolve(const std::function<bool(std::string_view, ArgumentSpec&)>& parse,
                          std::vector<ArgumentChoice>& choices) const {
  bool good = true;
  for (const Lines& lines : lines_) {
    ArgumentChoice choice{lines.name, lines.mask, {}};
    for (const Kind& kind : lines.kinds) {
      ArgumentSpec argument;
      if (kind.word != "none" && !parse(kind.word, argument)) good = false;
      choice.kinds.emplace_back(kind.value, argument);
    }
    std::sort(choice.kinds.begin(), choice.kinds.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t i = 1; i < choice.kinds.size(); ++i)
      if (choice.kinds[i].first == choice.kinds[i - 1].first) good = false;
    choices.push_back(std::move(choice));
  }
  return good;
}

}  // namespace gyges::recorder
