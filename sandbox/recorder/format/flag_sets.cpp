#include "sandbox/recorder/format/flag_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <unordered_map>

extern "C" const char gyges_flag_sets_begin[];
extern "C" const char gyges_flag_sets_end[];

namespace gyges::recorder {
namespace {

std::string_view next_word(std::string_view& rest) {
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  std::size_t end = std::min(rest.find(' '), rest.size());
  std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

// Decimal, 0x hexadecimal or, with a leading zero, octal.
bool parse_value(std::string_view text, std::uint64_t& value) {
  int base = 10;
  if (text.starts_with("0x")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text.front() == '0') {
    base = 8;
  }
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc{} && end == text.data() + text.size();
}

struct FlagTable {
  std::unordered_map<std::string_view, FlagSet> sets;
  std::vector<std::string> faults;

  FlagTable() {
    std::string_view data(gyges_flag_sets_begin,
                          static_cast<std::size_t>(gyges_flag_sets_end - gyges_flag_sets_begin));
    FlagSet* current = nullptr;
    while (!data.empty()) {
      std::size_t end = std::min(data.find('\n'), data.size());
      std::string_view line = data.substr(0, end);
      data.remove_prefix(std::min(end + 1, data.size()));
      if (line.empty() || line.front() == '#') continue;
      bool good = line.starts_with("set ") ? start(line.substr(4), current)
                                           : current != nullptr && add_names(line, *current);
      if (!good) faults.push_back(fmt::format("cannot read line: {}", line));
    }
    for (auto& [name, set] : sets)
      std::stable_sort(set.bits.begin(), set.bits.end(), [](const FlagName& a, const FlagName& b) {
        return std::popcount(a.value) > std::popcount(b.value);
      });
  }

  bool start(std::string_view rest, FlagSet*& current) {
    FlagSet set;
    set.name = next_word(rest);
    std::string_view kind = next_word(rest);
    if (kind == "enum") {
      set.enumeration = true;
      set.value_mask = ~std::uint64_t{0};
    } else if (kind == "mask") {
      if (!parse_value(next_word(rest), set.value_mask)) return false;
    } else if (kind == "octal") {
      set.octal = true;
    } else if (kind != "bits") {
      return false;
    }
    auto [at, inserted] = sets.emplace(set.name, set);
    current = &at->second;
    return inserted;
  }

  static bool add_names(std::string_view line, FlagSet& set) {
    while (true) {
      std::string_view word = next_word(line);
      if (word.empty()) return true;
      std::size_t equals = word.find('=');
      FlagName flag;
      if (equals == std::string_view::npos || !parse_value(word.substr(equals + 1), flag.value))
        return false;
      flag.name = word.substr(0, equals);
      bool is_value = set.enumeration || flag.value == 0 || (flag.value & ~set.value_mask) == 0;
      (is_value ? set.values : set.bits).push_back(flag);
    }
  }
};

const FlagTable& table() {
  static const FlagTable instance;
  return instance;
}

std::string_view name_of(const std::vector<FlagName>& names, std::uint64_t value) {
  auto found =
      std::find_if(names.begin(), names.end(), [&](const FlagName& f) { return f.value == value; });
  return found == names.end() ? std::string_view{} : found->name;
}

// Results that the kernel uses inside and that tracepoints show, although no program sees them.
struct InternalError {
  std::int64_t code;
  std::string_view name;
  std::string_view message;
};
constexpr InternalError internal_errors[] = {
    {512, "ERESTARTSYS", "To be restarted if SA_RESTART is set"},
    {513, "ERESTARTNOINTR", "To be restarted"},
    {514, "ERESTARTNOHAND", "To be restarted if no handler"},
    {515, "ENOIOCTLCMD", "No such ioctl"},
    {516, "ERESTART_RESTARTBLOCK", "Interrupted by signal, to be restarted"},
    {517, "EPROBE_DEFER", "Driver requests probe retry"},
    {524, "ENOTSUPP", "Operation is not supported"},
    {529, "EIOCBQUEUED", "Queued for asynchronous completion"},
};

}  // namespace

std::string FlagSet::text(std::uint64_t value) const {
  std::uint64_t rest = value;
  std::string out;
  auto append = [&](std::string_view part) {
    if (!out.empty()) out += '|';
    out += part;
  };
  std::uint64_t within = value & value_mask;
  std::string_view named = name_of(values, within);
  if (!named.empty() && (value_mask != 0 || value == 0)) {
    append(named);
    rest &= ~value_mask;
  }
  for (const FlagName& bit : bits)
    if ((rest & bit.value) == bit.value) {
      append(bit.name);
      rest &= ~bit.value;
    }
  if (rest != 0 || out.empty())
    append(rest == 0 ? "0" : octal ? fmt::format("{:#o}", rest) : fmt::format("{:#x}", rest));
  return out;
}

const FlagSet* find_flag_set(std::string_view name) {
  auto found = table().sets.find(name);
  return found == table().sets.end() ? nullptr : &found->second;
}

std::string flag_text(std::string_view set, std::uint64_t value) {
  const FlagSet* found = find_flag_set(set);
  return found != nullptr ? found->text(value) : fmt::format("{:#x}", value);
}

std::string signal_name(std::uint64_t signal) {
  static const FlagSet* names = find_flag_set("signal");
  std::string_view name = name_of(names->values, signal);
  if (!name.empty()) return std::string(name);
  if (signal == 32) return "SIGRTMIN";  // as the kernel counts, and strace
  if (signal > 32 && signal <= 64) return fmt::format("SIGRT_{}", signal - 32);
  return fmt::format("{}", static_cast<std::int64_t>(signal));
}

std::string_view errno_name(std::int64_t code) {
  for (const InternalError& error : internal_errors)
    if (error.code == code) return error.name;
  if (code <= 0 || code > 4095) return {};
  const char* name = strerrorname_np(static_cast<int>(code));
  return name != nullptr ? name : std::string_view{};
}

std::string_view errno_message(std::int64_t code) {
  for (const InternalError& error : internal_errors)
    if (error.code == code) return error.message;
  if (code <= 0 || code > 4095) return {};
  const char* message = strerrordesc_np(static_cast<int>(code));
  return message != nullptr ? message : std::string_view{};
}

const std::vector<std::string>& flag_set_faults() {
  return table().faults;
}

}  // namespace gyges::recorder
