#include "agent_runtime/gateway/json_text.h"

#include <set>

#include "base/json.h"

namespace gyges::gateway {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  [[nodiscard]] bool over() const { return at_ >= text_.size(); }
  void step() { ++at_; }

  // With its quotes; empty: there is none.
  std::string_view text() {
    std::size_t begin = at_;
    if (!take('"')) return {};
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    return take('"') ? text_.substr(begin, at_ - begin) : std::string_view();
  }

  // Any value; empty: there is none.
  std::string_view value() {
    std::size_t begin = at_;
    if (peek() == '"') return text();
    std::size_t depth = 0;
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '"') {
        if (text().empty()) return {};
        continue;
      }
      bool closes = c == '}' || c == ']';
      if (depth == 0 && (closes || c == ',' || is_space(c))) break;
      ++at_;
      if (c == '{' || c == '[') ++depth;
      if (closes && --depth == 0) break;
    }
    return text_.substr(begin, at_ - begin);
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

std::optional<std::string> name_in(std::string_view key) {
  if (key.find('\\') == std::string_view::npos) return std::string(key.substr(1, key.size() - 2));
  auto value = nlohmann::json::parse(key, nullptr, false);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

std::string between(const std::vector<JsonMember>& members, char open, char close) {
  std::string out(1, open);
  for (const auto& member : members) {
    if (out.size() > 1) out += ',';
    if (!member.key.empty()) out.append(member.key).append(":");
    out += member.value;
  }
  return out + close;
}

}  // namespace

std::optional<std::vector<JsonMember>> members_of(std::string_view text) {
  Scanner scanner(text);
  scanner.space();
  bool object = scanner.peek() == '{';
  const char close = object ? '}' : ']';
  if (!scanner.take(object ? '{' : '[')) return std::nullopt;
  std::vector<JsonMember> members;
  scanner.space();
  if (scanner.take(close)) return members;
  for (;;) {
    JsonMember member;
    scanner.space();
    if (object) {
      member.key = scanner.text();
      if (member.key.empty()) return std::nullopt;
      auto name = name_in(member.key);
      if (!name) return std::nullopt;
      member.name = std::move(*name);
      scanner.space();
      if (!scanner.take(':')) return std::nullopt;
      scanner.space();
    }
    member.value = scanner.value();
    if (member.value.empty()) return std::nullopt;
    members.push_back(std::move(member));
    scanner.space();
    if (scanner.take(close)) return members;
    if (!scanner.take(',')) return std::nullopt;
  }
}

bool has_member_twice(std::string_view text) {
  // Names of the objects that are open; an array has an empty place.
  std::vector<std::optional<std::set<std::string>>> open;
  Scanner scanner(text);
  while (!scanner.over()) {
    char c = scanner.peek();
    if (c == '"') {
      std::string_view word = scanner.text();
      if (word.empty()) return true;
      scanner.space();
      if (scanner.peek() != ':' || open.empty() || !open.back()) continue;
      auto name = name_in(word);
      if (!name || !open.back()->insert(std::move(*name)).second) return true;
      continue;
    }
    scanner.step();
    if (c == '{') open.emplace_back(std::set<std::string>());
    if (c == '[') open.emplace_back();
    if ((c == '}' || c == ']') && !open.empty()) open.pop_back();
  }
  return false;
}

std::string object_with(const std::vector<JsonMember>& members) {
  return between(members, '{', '}');
}

std::string array_with(const std::vector<JsonMember>& elements) {
  return between(elements, '[', ']');
}

std::string replaced(std::string_view text, std::string_view part, std::string_view with) {
  auto at = static_cast<std::size_t>(part.data() - text.data());
  std::string out(text.substr(0, at));
  out.append(with).append(text.substr(at + part.size()));
  return out;
}

}  // namespace gyges::gateway
