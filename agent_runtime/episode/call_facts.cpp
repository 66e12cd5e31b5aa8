#include "agent_runtime/episode/call_facts.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/json.h"

namespace gyges::episode {
namespace {

using nlohmann::json;

constexpr std::size_t kept_at_most = 1000;
constexpr std::string_view between_words = " \t\r\n'\"();|&<>`,={}[]";

void add(std::vector<std::string>& list, std::string item) {
  if (item.empty() || list.size() >= kept_at_most) return;
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(std::move(item));
}

std::string absolute(std::string_view word, std::string_view home) {
  std::filesystem::path path(word);
  if (word == "~" || word.starts_with("~/"))
    path =
        std::filesystem::path(home) / std::filesystem::path(word.substr(word.size() > 1 ? 2 : 1));
  else if (!word.starts_with('/'))
    path = std::filesystem::path(home) / path;
  std::string text = path.lexically_normal().string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

bool in_host(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == ':' ||
         c == '[' || c == ']' || c == '_';
}

std::string host_of(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && in_host(text[end])) ++end;
  std::string host(text.substr(0, end));
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') == std::string::npos ? 0 : host.find(']') - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  while (host.ends_with('.')) host.pop_back();
  for (char& c : host) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return host;
}

void add_hosts(std::string_view text, CallFacts& facts) {
  for (std::size_t at = text.find("://"); at != std::string_view::npos; at = text.find("://", at)) {
    at += 3;
    std::string_view rest = text.substr(at);
    std::size_t end = rest.find_first_of(" \t\r\n'\"/?#");
    std::size_t user = rest.substr(0, end).rfind('@');
    if (user != std::string_view::npos) rest.remove_prefix(user + 1);
    add(facts.hosts, host_of(rest));
  }
}

void add_words(std::string_view text, std::string_view home, CallFacts& facts) {
  while (!text.empty()) {
    std::size_t begin = text.find_first_not_of(between_words);
    if (begin == std::string_view::npos) return;
    text.remove_prefix(begin);
    std::string_view word = text.substr(0, text.find_first_of(between_words));
    text.remove_prefix(word.size());
    bool url = word.find("://") != std::string_view::npos;
    if (!url && word.find('/') != std::string_view::npos) add(facts.paths, absolute(word, home));
    if (!url && word == "~") add(facts.paths, absolute(word, home));
    std::size_t at = word.find('@');
    if (!url && at != std::string_view::npos && at != 0)
      add(facts.hosts, host_of(word.substr(at + 1)));
  }
}

void collect(const json& value, const std::string& name, std::string_view home, CallFacts& facts) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (facts.texts.size() < kept_at_most) facts.texts.push_back(text);
    add_hosts(text, facts);
    if (name == "path")
      add(facts.paths, absolute(text, home));
    else
      add_words(text, home, facts);
  } else if (value.is_object()) {
    for (const auto& [key, inside] : value.items()) collect(inside, key, home, facts);
  } else if (value.is_array()) {
    for (const auto& inside : value) collect(inside, name, home, facts);
  }
}

}  // namespace

CallFacts facts_of(const json& arguments, std::string_view home) {
  CallFacts facts;
  collect(arguments, "", home, facts);
  return facts;
}

}  // namespace gyges::episode
