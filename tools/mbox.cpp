#include "tools/mbox.h"

#include <algorithm>
#include <cctype>

namespace gyges::tools {
namespace {

bool has_name(std::string_view line, std::string_view name) {
  return line.size() > name.size() && line[name.size()] == ':' &&
         std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

std::string_view value_in(std::string_view line) {
  line.remove_prefix(line.find(':') + 1);
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line;
}

std::string_view next_line(std::string_view& text) {
  auto end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

void read_fields(MailMessage& message) {
  std::string_view rest = message.text;
  while (!rest.empty()) {
    std::string_view line = next_line(rest);
    if (line.empty() || line == "\r") return;
    if (has_name(line, "from")) message.from = value_in(line);
    if (has_name(line, "to")) message.to = value_in(line);
    if (has_name(line, "date")) message.date = value_in(line);
    if (has_name(line, "subject")) message.subject = value_in(line);
  }
}

}  // namespace

std::vector<MailMessage> messages_of(std::string_view mbox, std::size_t limit) {
  std::vector<MailMessage> found;
  bool after_empty = true;
  while (!mbox.empty()) {
    std::string_view line = next_line(mbox);
    if (after_empty && line.starts_with("From ")) {
      if (found.size() == limit) break;
      found.emplace_back();
    } else if (!found.empty()) {
      if (line.starts_with(">From ")) line.remove_prefix(1);
      found.back().text.append(line).push_back('\n');
    }
    after_empty = line.empty() || line == "\r";
  }
  for (auto& message : found) read_fields(message);
  return found;
}

std::string mbox_entry(std::string_view sender, std::string_view date, std::string_view message) {
  std::string entry = "From " + std::string(sender) + " " + std::string(date) + "\n";
  while (!message.empty()) {
    std::string_view line = next_line(message);
    if (line.starts_with("From ")) entry += '>';
    entry.append(line).push_back('\n');
  }
  return entry + "\n";
}

}  // namespace gyges::tools
