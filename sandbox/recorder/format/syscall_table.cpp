#include "sandbox/recorder/format/syscall_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "sandbox/recorder/format/argument_choices.h"
#include "sandbox/recorder/format/flag_sets.h"

extern "C" const char gyges_syscalls_x86_64_begin[];
extern "C" const char gyges_syscalls_x86_64_end[];
extern "C" const char gyges_syscalls_i386_begin[];
extern "C" const char gyges_syscalls_i386_end[];

namespace gyges::recorder {
namespace {

constexpr std::array<std::string_view, syscall_class_count> class_names = {
    "file", "process",    "network",  "memory",   "signal", "ipc",
    "time", "descriptor", "security", "mutation", "system"};

struct ScalarWord {
  std::string_view word;
  ArgumentKind kind;
};
constexpr ScalarWord scalar_words[] = {
    {"int", ArgumentKind::integer}, {"num", ArgumentKind::number},  {"hex", ArgumentKind::hex},
    {"size", ArgumentKind::size},   {"off", ArgumentKind::offset},  {"mode", ArgumentKind::mode},
    {"pid", ArgumentKind::pid},     {"uid", ArgumentKind::uid},     {"gid", ArgumentKind::gid},
    {"sig", ArgumentKind::signal},  {"dev", ArgumentKind::device},  {"fd", ArgumentKind::fd},
    {"dirfd", ArgumentKind::dirfd}, {"ptr", ArgumentKind::pointer}, {"path", ArgumentKind::path},
    {"text", ArgumentKind::text},   {"argv", ArgumentKind::argv},   {"envp", ArgumentKind::envp},
    {"-", ArgumentKind::none},
};

struct PointerWord {
  std::string_view word;
  ArgumentKind kind;
};
constexpr PointerWord sized_words[] = {
    {"addr", ArgumentKind::sockaddr},
    {"iov", ArgumentKind::iovec},
    {"mmsg", ArgumentKind::mmsghdr},
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Cuts the text before `separator` off the front of `rest`; all of it when there is none.
std::string_view cut(std::string_view& rest, char separator) {
  std::size_t at = rest.find(separator);
  std::string_view head = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view{} : rest.substr(at + 1);
  return trimmed(head);
}

template <class T>
bool parse_number(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

struct StructureSize {
  std::uint16_t bytes = 0;
  std::uint16_t bytes_i386 = 0;
};

// Reads one data file. Faults are collected rather than thrown: a broken line loses one call's
// description, and the test of this room fails on it.
class TableParser {
 public:
  TableParser(Abi abi, std::vector<std::string>& faults) : abi_(abi), faults_(faults) {}

  // For i386: where bare names take their arguments from, and the structures.
  void inherit(const TableParser& base) {
    structures_ = base.structures_;
    choice_lines_ = base.choice_lines_;
    for (const SyscallSpec& spec : base.specs_) inherited_.emplace(spec.name, &spec);
  }

  void parse(std::string_view data) {
    while (!data.empty()) {
      line_ = cut(data, '\n');
      if (line_.empty() || line_.front() == '#') continue;
      if (!parse_line(line_)) faults_.push_back(fmt::format("cannot read line: {}", line_));
    }
    std::sort(specs_.begin(), specs_.end(),
              [](const SyscallSpec& a, const SyscallSpec& b) { return a.number < b.number; });
    const auto parse_choice = [this](std::string_view word, ArgumentSpec& argument) {
      if (parse_kind({}, argument, word)) return true;
      faults_.push_back(fmt::format("cannot read choice: {}", word));
      return false;
    };
    if (!choice_lines_.resolve(parse_choice, choices_))
      faults_.emplace_back("a choice has a value twice, or a kind that cannot be read");
  }

  [[nodiscard]] const std::vector<SyscallSpec>& specs() const { return specs_; }
  [[nodiscard]] const std::vector<ArgumentChoice>& choices() const { return choices_; }

 private:
  bool parse_line(std::string_view line) {
    std::string_view rest = line;
    std::string_view first = cut(rest, ' ');
    rest = trimmed(rest);
    if (first == "struct") return parse_structure(rest);
    if (first == "choice") return choice_lines_.add(rest);
    SyscallSpec spec;
    if (!parse_number(first, spec.number)) return false;
    std::size_t open = rest.find('(');
    if (open == std::string_view::npos) return parse_inherited(spec.number, rest);
    spec.name = rest.substr(0, open);
    std::size_t close = rest.rfind('|');
    if (close == std::string_view::npos) return false;
    std::string_view classes = rest.substr(close + 1);
    std::string_view body = trimmed(rest.substr(open + 1, close - open - 1));
    std::size_t end = matching_parenthesis(body);
    if (end == std::string_view::npos) return false;
    return parse_arguments(spec, body.substr(0, end)) &&
           parse_result(spec, trimmed(body.substr(end + 1))) && parse_classes(spec, classes) &&
           add(spec);
  }

  // Position of the parenthesis that closes the argument list; flag sets have their own pairs.
  static std::size_t matching_parenthesis(std::string_view body) {
    int depth = 0;
    for (std::size_t i = 0; i < body.size(); ++i) {
      if (body[i] == '(') ++depth;
      if (body[i] == ')' && depth-- == 0) return i;
    }
    return std::string_view::npos;
  }

  bool parse_structure(std::string_view rest) {
    std::string_view name = cut(rest, ' ');
    std::string_view bytes = cut(rest, ' ');
    StructureSize size;
    if (!parse_number(bytes, size.bytes)) return false;
    size.bytes_i386 = size.bytes;
    if (!rest.empty() && !parse_number(trimmed(rest), size.bytes_i386)) return false;
    return structures_.emplace(name, size).second;
  }

  bool parse_inherited(std::uint32_t number, std::string_view rest) {
    std::string_view name = cut(rest, '=');
    std::string_view source = rest.empty() ? name : trimmed(rest);
    auto found = inherited_.find(source);
    if (found == inherited_.end()) return false;
    SyscallSpec spec = *found->second;
    spec.number = number;
    spec.name = name;
    for (ArgumentSpec& argument : spec.arguments)
      if (argument.kind == ArgumentKind::structure)
        argument.fixed_length = structures_.at(argument.set).bytes_i386;
    return add(spec);
  }

  bool parse_arguments(SyscallSpec& spec, std::string_view list) {
    std::array<std::string_view, 6> kinds{};
    while (!trimmed(list).empty()) {
      if (spec.argument_count == 6) return false;
      std::string_view argument = cut(list, ',');
      spec.arguments[spec.argument_count].name = cut(argument, ':');
      kinds[spec.argument_count++] = trimmed(argument);
    }
    for (std::size_t i = 0; i < spec.argument_count; ++i) {
      std::string_view choice = kinds[i];
      const std::string_view kind = cut(choice, '?');
      if (!parse_kind(spec, spec.arguments[i], kind)) return false;
      if (!choice.empty() && !parse_choice(spec, spec.arguments[i], choice)) return false;
    }
    return true;
  }

  bool parse_choice(const SyscallSpec& spec, ArgumentSpec& argument, std::string_view text) {
    const std::string_view name = cut(text, '(');
    argument.choice = choice_lines_.number_of(name);
    return argument.choice != 0 && text.ends_with(')') &&
           find_argument(spec, text.substr(0, text.size() - 1), argument.length_argument);
  }

  bool parse_kind(const SyscallSpec& spec, ArgumentSpec& argument, std::string_view word) {
    if (word.ends_with('!')) {
      argument.mutates = true;
      word.remove_suffix(1);
    }
    for (const ScalarWord& scalar : scalar_words)
      if (word == scalar.word && word != "-") {
        argument.kind = scalar.kind;
        return true;
      }
    if (word.starts_with("f(") && word.ends_with(')')) {
      argument.kind = ArgumentKind::flags;
      argument.set = word.substr(2, word.size() - 3);
      return find_flag_set(argument.set) != nullptr;
    }
    std::string_view length;
    if (std::size_t bracket = word.find('['); bracket != std::string_view::npos) {
      if (!word.ends_with(']')) return false;
      length = word.substr(bracket + 1, word.size() - bracket - 2);
      word = word.substr(0, bracket);
    }
    if (word == "in" || word == "out" || word == "io") {
      argument.kind = ArgumentKind::buffer;
      argument.direction = word == "in"    ? Direction::in
                           : word == "out" ? Direction::out
                                           : Direction::in_out;
      return parse_length(spec, argument, length);
    }
    if (word.ends_with("<>")) {
      argument.direction = Direction::in_out;
      word.remove_suffix(2);
    } else if (word.ends_with('<') || word.ends_with('>')) {
      argument.direction = word.back() == '<' ? Direction::in : Direction::out;
      word.remove_suffix(1);
    } else {
      return false;
    }
    if (word == "msg") {
      argument.kind = ArgumentKind::msghdr;
      return length.empty();
    }
    for (const PointerWord& sized : sized_words)
      if (word == sized.word) {
        argument.kind = sized.kind;
        return parse_length(spec, argument, length);
      }
    auto structure = structures_.find(word);
    if (structure == structures_.end()) return false;
    argument.kind = ArgumentKind::structure;
    argument.length = LengthSource::fixed;
    if (!length.empty() && !parse_length(spec, argument, length)) return false;
    argument.set = structure->first;
    argument.fixed_length =
        abi_ == Abi::i386 ? structure->second.bytes_i386 : structure->second.bytes;
    return true;
  }

  bool parse_length(const SyscallSpec& spec, ArgumentSpec& argument, std::string_view text) const {
    if (constexpr std::string_view head = "long+"; text.starts_with(head)) {
      if (!parse_length(spec, argument, text.substr(head.size()))) return false;
      const bool by_result = argument.length == LengthSource::result;
      if (!by_result && argument.length != LengthSource::argument) return false;
      argument.length = by_result ? LengthSource::after_result : LengthSource::after_argument;
      argument.fixed_length = abi_ == Abi::i386 ? 4 : 8;
      return true;
    }
    argument.fixed_length = 1;
    if (text.empty()) return false;
    if (text.front() >= '0' && text.front() <= '9') {
      argument.length = LengthSource::fixed;
      return parse_number(text, argument.fixed_length);
    }
    if (text.front() == '*') {
      argument.length = LengthSource::pointed;
      return find_argument(spec, text.substr(1), argument.length_argument);
    }
    if (text.starts_with("ioc(") && text.ends_with(')')) {
      argument.length = LengthSource::ioctl;
      return find_argument(spec, text.substr(4, text.size() - 5), argument.length_argument);
    }
    std::string_view factor = text;
    std::string_view source = cut(factor, '*');
    if (!factor.empty() && !parse_number(factor, argument.fixed_length)) return false;
    if (source == "ret") {
      argument.length = LengthSource::result;
      return true;
    }
    argument.length = LengthSource::argument;
    return find_argument(spec, source, argument.length_argument);
  }

  // By name, or by "#" and its place from 1 on.
  static bool find_argument(const SyscallSpec& spec, std::string_view name, std::uint8_t& index) {
    if (name.starts_with('#')) {
      if (!parse_number(name.substr(1), index) || index < 1 || index > 6) return false;
      --index;
      return true;
    }
    for (std::uint8_t i = 0; i < spec.argument_count; ++i)
      if (spec.arguments[i].name == name) {
        index = i;
        return true;
      }
    return false;
  }

  static bool parse_result(SyscallSpec& spec, std::string_view word) {
    if (word.starts_with("f(")) {
      spec.result = ArgumentKind::flags;
      return true;
    }
    for (const ScalarWord& scalar : scalar_words)
      if (word == scalar.word) {
        spec.result = scalar.kind;
        return true;
      }
    return false;
  }

  static bool parse_classes(SyscallSpec& spec, std::string_view words) {
    words = trimmed(words);
    while (!words.empty()) {
      std::string_view word = cut(words, ' ');
      auto found = std::find(class_names.begin(), class_names.end(), word);
      if (found == class_names.end()) return false;
      spec.classes |= static_cast<std::uint16_t>(1U << (found - class_names.begin()));
    }
    return spec.classes != 0;
  }

  bool add(const SyscallSpec& spec) {
    if (!numbers_.insert(spec.number).second || !names_.insert(spec.name).second) return false;
    specs_.push_back(spec);
    return true;
  }

  Abi abi_;
  std::vector<std::string>& faults_;
  std::string_view line_;
  std::unordered_map<std::string_view, StructureSize> structures_;
  std::unordered_map<std::string_view, const SyscallSpec*> inherited_;
  std::vector<SyscallSpec> specs_;
  std::unordered_set<std::uint32_t> numbers_;
  std::unordered_set<std::string_view> names_;
  ChoiceLines choice_lines_;
  std::vector<ArgumentChoice> choices_;
};

struct AbiTable {
  std::vector<SyscallSpec> specs;
  std::vector<ArgumentChoice> choices;
  std::vector<std::int16_t> by_number;  // index into specs, -1 for gaps
  std::unordered_map<std::string_view, std::size_t> by_name;

  void index() {
    by_number.assign(specs.empty() ? 0 : specs.back().number + 1, -1);
    for (std::size_t i = 0; i < specs.size(); ++i) {
      by_number[specs[i].number] = static_cast<std::int16_t>(i);
      by_name.emplace(specs[i].name, i);
    }
  }
};

// One ABI's calls, and the faults of its file.
struct SyscallTable {
  AbiTable calls;
  std::vector<std::string> faults;

  explicit SyscallTable(Abi abi) {
    TableParser wide(Abi::x86_64, faults);
    wide.parse({gyges_syscalls_x86_64_begin,
                static_cast<std::size_t>(gyges_syscalls_x86_64_end - gyges_syscalls_x86_64_begin)});
    if (abi == Abi::i386) {
      TableParser narrow(Abi::i386, faults);
      narrow.inherit(wide);
      narrow.parse({gyges_syscalls_i386_begin,
                    static_cast<std::size_t>(gyges_syscalls_i386_end - gyges_syscalls_i386_begin)});
      take(narrow);
    } else {
      take(wide);
    }
  }

  void take(const TableParser& parser) {
    calls.specs = parser.specs();
    calls.choices = parser.choices();
    calls.index();
  }
};

// Each is read when it is first asked for: a run counts the milliseconds before its command starts,
// and few make 32-bit calls.
const SyscallTable& x86_64_table() {
  static const SyscallTable instance(Abi::x86_64);
  return instance;
}

const SyscallTable& i386_table() {
  static const SyscallTable instance(Abi::i386);
  return instance;
}

const AbiTable& table_of(Abi abi) {
  return abi == Abi::i386 ? i386_table().calls : x86_64_table().calls;
}

}  // namespace

std::string_view syscall_class_name(SyscallClass cls) {
  return class_names[static_cast<std::size_t>(cls) % syscall_class_count];
}

std::span<const SyscallSpec> syscalls(Abi abi) {
  return table_of(abi).specs;
}

std::span<const ArgumentChoice> argument_choices(Abi abi) {
  return table_of(abi).choices;
}

const SyscallSpec* find_syscall(Abi abi, std::uint32_t number) {
  const AbiTable& found = table_of(abi);
  if (abi == Abi::x32) {
    number &= ~x32_bit;
    if (number >= 512) return nullptr;
  }
  if (number >= found.by_number.size() || found.by_number[number] < 0) return nullptr;
  return &found.specs[static_cast<std::size_t>(found.by_number[number])];
}

const SyscallSpec* find_syscall(Abi abi, std::string_view name) {
  const AbiTable& found = table_of(abi);
  auto at = found.by_name.find(name);
  return at == found.by_name.end() ? nullptr : &found.specs[at->second];
}

std::string syscall_name(Abi abi, std::uint32_t number) {
  const SyscallSpec* spec = find_syscall(abi, number);
  return spec != nullptr ? std::string(spec->name) : fmt::format("syscall_{:#x}", number);
}

const std::vector<std::string>& syscall_table_faults() {
  return i386_table().faults;  // those of the other, too
}

}  // namespace gyges::recorder
