#include "agent_runtime/model/key_forms.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace gyges::model {
namespace {

constexpr std::size_t shortest_to_encode = 8;       // bytes of a key
constexpr std::size_t shortest_encoded = 12;        // characters of base64
constexpr std::string_view gson_escapes = "<>&='";  // and others', besides what JSON demands

enum class Letters { lower, upper };

void add_hex(unsigned char byte, Letters letters, std::string& out) {
  const char* digits = letters == Letters::lower ? "0123456789abcdef" : "0123456789ABCDEF";
  out += digits[byte >> 4U];
  out += digits[byte & 15U];
}

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::strchr("-._~", c) != nullptr;
}

// Each byte for which `escapes` holds as `before` and its digits.
template <typename Escapes>
std::string escaped(std::string_view key, std::string_view before, Letters letters,
                    Escapes&& escapes) {
  std::string text;
  for (char c : key) {
    if (!escapes(c)) {
      text += c;
      continue;
    }
    text += before;
    add_hex(static_cast<unsigned char>(c), letters, text);
  }
  return text;
}

void replace_all(std::string& text, const std::string& word) {
  const std::size_t length = std::strlen(key_mark);
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + length))
    text.replace(at, word.size(), key_mark);
}

std::string with_backslashes(std::string_view key, std::string_view before) {
  std::string text;
  for (char c : key) {
    if (before.find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  return text;
}

// The characters of base64 that hold nothing but bits of the key, which begins `at` bytes behind
// the beginning of a group of three.
std::string base64_at(std::string_view key, std::size_t at, std::string_view letters) {
  std::string bytes(at, '\0');
  bytes += key;
  std::string text;
  std::uint32_t bits = 0;
  unsigned have = 0;
  for (char c : bytes) {
    bits = (bits << 8U) | static_cast<unsigned char>(c);
    for (have += 8; have >= 6; have -= 6) text += letters[(bits >> (have - 6)) & 63U];
  }
  const std::size_t shared = (at * 8 + 5) / 6;
  return text.size() > shared ? text.substr(shared) : std::string();
}

}  // namespace

std::vector<std::string> forms_of_key(const std::string& key) {
  std::vector<std::string> forms;
  auto add = [&](std::string form) {
    if (!form.empty() && std::find(forms.begin(), forms.end(), form) == forms.end())
      forms.push_back(std::move(form));
  };
  add(key);
  add(with_backslashes(key, "\"\\"));
  add(with_backslashes(key, "\"\\/"));
  if (key.size() < shortest_to_encode) return forms;
  auto all = [](char) { return true; };
  auto in_gson = [](char c) { return gson_escapes.find(c) != std::string_view::npos; };
  auto reserved = [](char c) { return !unreserved(c); };
  for (Letters letters : {Letters::lower, Letters::upper}) {
    add(escaped(key, "\\u00", letters, in_gson));
    add(escaped(key, "\\u00", letters, all));
    add(escaped(key, "%", letters, reserved));
    add(escaped(key, "%", letters, all));
    add(escaped(key, "", letters, all));
  }
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  for (std::size_t at = 0; at < 3; ++at)
    for (const char* last : {"+/", "-_"})
      if (std::string form = base64_at(key, at, std::string(letters) + last);
          form.size() >= shortest_encoded)
        add(std::move(form));
  return forms;
}

std::string without_forms(std::string text, const std::vector<std::string>& forms) {
  for (const std::string& form : forms) replace_all(text, form);
  return text;
}

}  // namespace gyges::model
