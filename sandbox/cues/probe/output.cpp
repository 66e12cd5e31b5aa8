#include "sandbox/cues/probe/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

char buffer[1U << 16U];
std::size_t filled = 0;
std::size_t observations = 0;

void flush() {
  for (std::size_t at = 0; at < filled;) {
    ssize_t done = ::write(STDOUT_FILENO, buffer + at, filled - at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) break;  // the missing last line shows it
    at += static_cast<std::size_t>(done);
  }
  filled = 0;
}

void put(char c) {
  if (filled == sizeof(buffer)) flush();
  buffer[filled++] = c;
}

void put_text(const char* text) {
  while (*text != 0) put(*text++);
}

void put_escaped(const char* bytes, std::size_t length) {
  static const char digits[] = "0123456789abcdef";
  for (std::size_t i = 0; i < length; ++i) {
    auto c = static_cast<unsigned char>(bytes[i]);
    if (c == '"' || c == '\\') {
      put('\\');
      put(static_cast<char>(c));
    } else if (c >= 0x20 && c < 0x7f) {
      put(static_cast<char>(c));
    } else {
      // Bytes, not characters: what is no ASCII arrives as Latin-1 and stays comparable.
      put_text("\\u00");
      put(digits[c >> 4U]);
      put(digits[c & 15U]);
    }
  }
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::fact:
      return "fact";
    case Kind::changing:
      return "volatile";
    case Kind::timing:
      return "timing";
  }
  return "";
}

bool may_stand_in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '/' || c == ':' || c == '@' || c == '+' || c == '.';
}

bool put_head(const Channel& channel, const char* detail, const char* how) {
  if (observations >= observation_limit) return false;
  ++observations;
  put_text("{\"channel\":\"");
  put_text(channel.id);
  if (detail != nullptr && *detail != 0) {
    put('.');
    for (int i = 0; i < 200 && detail[i] != 0; ++i)
      put(may_stand_in_name(detail[i]) ? detail[i] : '_');
  }
  put_text("\",\"how\":\"");
  put_escaped(how, std::strlen(how) < 300 ? std::strlen(how) : 300);
  put_text("\",\"class\":\"");
  put_text(kind_name(channel.kind));
  return true;
}

}  // namespace

void begin_output() {
  put_text("{\"probe\":\"gyges\",\"version\":1}\n");
}

void end_output(long microseconds) {
  char line[96];
  std::snprintf(line, sizeof(line), "{\"end\":%zu,\"microseconds\":%ld}\n", observations,
                microseconds);
  put_text(line);
  flush();
}

void say(const Channel& channel, const char* detail, const char* how, const char* value,
         std::size_t length) {
  if (!put_head(channel, detail, how)) return;
  put_text("\",\"value\":\"");
  put_escaped(value, length < value_limit ? length : value_limit);
  if (length > value_limit) {
    char cut[64];
    std::snprintf(cut, sizeof(cut), "... %zu bytes, hash %016llx", length, hash_of(value, length));
    put_text(cut);
  }
  put_text("\"}\n");
}

void say(const Channel& channel, const char* detail, const char* how, const char* value) {
  say(channel, detail, how, value, std::strlen(value));
}

void say_number(const Channel& channel, const char* detail, const char* how, long long number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%lld", number);
  say(channel, detail, how, text);
}

void say_error(const Channel& channel, const char* detail, const char* how, int error) {
  if (!put_head(channel, detail, how)) return;
  put_text("\",\"error\":\"");
  put_text(error_name(error));
  put_text("\"}\n");
}

}  // namespace gyges::probe
