#include "sandbox/recorder/format/structure_layouts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "sandbox/recorder/format/flag_sets.h"

extern "C" const char gyges_structure_layouts_begin[];
extern "C" const char gyges_structure_layouts_end[];

namespace gyges::recorder {
namespace {

using Form = LayoutField::Form;

struct FormWord {
  std::string_view word;
  Form form;
  std::size_t size;
};
constexpr FormWord form_words[] = {
    {"u1", Form::number, 1},
    {"u2", Form::number, 2},
    {"u4", Form::number, 4},
    {"u8", Form::number, 8},
    {"i2", Form::integer, 2},
    {"i4", Form::integer, 4},
    {"i8", Form::integer, 8},
    {"x4", Form::hex, 4},
    {"x8", Form::hex, 8},
    {"o2", Form::octal, 2},
    {"o4", Form::octal, 4},
    {"o8", Form::octal, 8},
    {"mode2", Form::file_mode, 2},
    {"mode4", Form::file_mode, 4},
    {"dev8", Form::device, 8},
    {"sig4", Form::signal, 4},
    {"sig8", Form::signal, 8},
    {"sigset8", Form::signal_set, 8},
    {"lim4", Form::limit, 4},
    {"lim8", Form::limit, 8},
    {"hdl4", Form::handler, 4},
    {"hdl8", Form::handler, 8},
    {"nsec4", Form::file_nanoseconds, 4},
    {"nsec8", Form::file_nanoseconds, 8},
    {"wait4", Form::wait_status, 4},
    {"cap16", Form::capabilities, 16},
};

std::string_view next_word(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

bool parse_size(std::string_view text, std::size_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

struct LayoutTable {
  std::unordered_map<std::string_view, std::vector<StructureLayout>> layouts;  // by name
  std::vector<std::string> faults;

  LayoutTable() {
    std::string_view data(
        gyges_structure_layouts_begin,
        static_cast<std::size_t>(gyges_structure_layouts_end - gyges_structure_layouts_begin));
    while (!data.empty()) {
      const std::string_view line = next_word(data, '\n');
      if (line.empty() || line.front() == '#') continue;
      if (!add_layout(line)) faults.push_back(fmt::format("cannot read line: {}", line));
    }
    for (const auto& [name, sizes] : layouts)
      for (const StructureLayout& layout : sizes)
        for (const LayoutField& field : layout.fields)
          if (!fits(field, layout.bytes))
            faults.push_back(fmt::format("field {} of {} does not fit", field.name, name));
  }

  bool add_layout(std::string_view line) {
    StructureLayout layout;
    if (next_word(line, ' ') != "layout") return false;
    layout.name = next_word(line, ' ');
    if (!parse_size(next_word(line, ' '), layout.bytes)) return false;
    while (!line.empty()) {
      const std::string_view word = next_word(line, ' ');
      if (word == "[") {
        layout.open = "[";
        layout.close = "]";
      } else if (word == "[]") {
        layout.open = layout.close = "";  // the value has its own
      } else if (word == "...") {
        layout.close = ", ...}";
      } else if (!add_field(word, layout)) {
        return false;
      }
    }
    if (find(layout.name, layout.bytes) != nullptr) return false;
    layouts[layout.name].push_back(layout);
    return true;
  }

  [[nodiscard]] const StructureLayout* find(std::string_view name, std::size_t bytes) const {
    const auto sizes = layouts.find(name);
    if (sizes == layouts.end()) return nullptr;
    for (const StructureLayout& layout : sizes->second)
      if (bytes == 0 || layout.bytes == bytes) return &layout;
    return nullptr;
  }

  static bool add_field(std::string_view word, StructureLayout& layout) {
    LayoutField field;
    field.name = next_word(word, '@');
    if (!parse_size(next_word(word, ':'), field.offset)) return false;
    const std::size_t bracket = word.find('(');
    if (bracket != std::string_view::npos) {
      if (!word.ends_with(')')) return false;
      field.set = word.substr(bracket + 1, word.size() - bracket - 2);
      word = word.substr(0, bracket);
      if (word == "s") {
        field.form = Form::layout;
        std::string_view size = field.set;
        field.set = next_word(size, '/');
        if (!size.empty() && !parse_size(size, field.inner_bytes)) return false;
      } else {
        field.form = Form::flags;
        if (!word.starts_with('f') || !parse_size(word.substr(1), field.size) ||
            find_flag_set(field.set) == nullptr)
          return false;
      }
    } else if (word.starts_with("text")) {
      field.form = Form::text;
      if (!parse_size(word.substr(4), field.size)) return false;
    } else {
      const auto* known = std::find_if(std::begin(form_words), std::end(form_words),
                                       [&](const FormWord& form) { return form.word == word; });
      if (known == std::end(form_words)) return false;
      field.form = known->form;
      field.size = known->size;
    }
    layout.fields.push_back(field);
    return true;
  }

  [[nodiscard]] bool fits(const LayoutField& field, std::size_t bytes) const {
    std::size_t size = field.size;
    if (field.form == Form::layout) {
      const StructureLayout* inner = find(field.set, field.inner_bytes);
      if (inner == nullptr) return false;
      size = inner->bytes;
    }
    return field.offset + size <= bytes;
  }
};

const LayoutTable& layout_table() {
  static const LayoutTable instance;
  return instance;
}

}  // namespace

const StructureLayout* find_layout(std::string_view name, std::size_t bytes) {
  return layout_table().find(name, bytes);
}

const std::vector<std::string>& layout_faults() {
  return layout_table().faults;
}

}  // namespace gyges::recorder
