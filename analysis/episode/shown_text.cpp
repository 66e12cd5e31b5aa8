#include "analysis/episode/shown_text.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

// Where to cut so that no character of UTF-8 is torn.
std::size_t whole_characters(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text.size();
  std::size_t end = limit;
  while (end > 0 && limit - end < 4 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U)
    --end;
  return end;
}

}  // namespace

std::string printable_lines(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  std::size_t from = 0;
  while (from <= text.size()) {
    std::size_t end = text.find_first_of("\n\t", from);
    if (end == std::string_view::npos) end = text.size();
    shown += printable(text.substr(from, end - from));
    if (end < text.size()) shown += text[end];
    from = end + 1;
  }
  return shown;
}

nlohmann::json printable_texts(nlohmann::json json) {
  // Most texts of a report are plain, and there are millions of them.
  auto plain = [](const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
  };
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    return plain(text) ? std::move(json) : nlohmann::json(printable_lines(text));
  }
  if (json.is_array())
    for (nlohmann::json& item : json) item = printable_texts(std::move(item));
  if (json.is_object()) {
    bool plain_names = true;
    for (auto& [name, value] : json.items()) {
      plain_names = plain_names && plain(name);
      value = printable_texts(std::move(value));
    }
    if (plain_names) return json;
    nlohmann::json renamed = nlohmann::json::object();
    for (auto& [name, value] : json.items()) renamed[printable_lines(name)] = std::move(value);
    return renamed;
  }
  return json;
}

nlohmann::json shown_text(std::string_view text, std::size_t limit) {
  std::size_t end = whole_characters(text, limit);
  std::string shown = printable_lines(text.substr(0, end));
  if (end == text.size()) return shown;
  return {{"text", std::move(shown)}, {"bytes", text.size()}, {"cut", true}};
}

std::string cut_line(std::string text, std::size_t limit) {
  std::size_t end = whole_characters(text, limit);
  if (end == text.size()) return text;
  text.resize(end);
  return text + "…";
}

std::string shown_line(std::string_view text, std::size_t limit) {
  std::size_t end = whole_characters(text, limit);
  std::string shown = printable(text.substr(0, end));
  if (end < text.size()) shown += "…";
  return shown;
}

}  // namespace gyges::analysis
