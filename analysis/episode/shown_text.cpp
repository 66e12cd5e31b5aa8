#include "analysis/episode/shown_text.h"

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
