#include "sandbox/cues/probe/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gyges::probe {

void Text::add(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int wanted = std::vsnprintf(bytes + length, sizeof(bytes) - length, format, arguments);
  va_end(arguments);
  if (wanted > 0) length += static_cast<std::size_t>(wanted);
  if (length >= sizeof(bytes)) length = sizeof(bytes) - 1;
}

void Text::add_bytes(const char* from, std::size_t count) {
  if (count > sizeof(bytes) - 1 - length) count = sizeof(bytes) - 1 - length;
  std::memcpy(bytes + length, from, count);
  length += count;
  bytes[length] = 0;
}

const char* error_name(int error) {
  if (const char* name = ::strerrorname_np(error); name != nullptr) return name;
  static char unknown[32];
  std::snprintf(unknown, sizeof(unknown), "errno %d", error);
  return unknown;
}

long read_file(const char* path, char* buffer, std::size_t size) {
  int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return -1;
  std::size_t have = 0;
  while (have < size - 1) {
    ssize_t got = ::read(fd, buffer + have, size - 1 - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      int error = errno;
      ::close(fd);
      errno = error;
      return -1;
    }
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  ::close(fd);
  buffer[have] = 0;
  return static_cast<long>(have);
}

namespace {
bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
}  // namespace

bool find_line(const char* text, const char* key, const char** value, std::size_t* length) {
  std::size_t wanted = std::strlen(key);
  for (const char* line = text; *line != 0;) {
    const char* end = std::strchr(line, '\n');
    if (end == nullptr) end = line + std::strlen(line);
    if (std::strncmp(line, key, wanted) == 0) {
      const char* at = line + wanted;
      if (is_space(*at) || *at == ':' || *at == '=') {
        while (at < end && (is_space(*at) || *at == ':' || *at == '=')) ++at;
        const char* last = end;
        while (last > at && is_space(last[-1])) --last;
        *value = at;
        *length = static_cast<std::size_t>(last - at);
        return true;
      }
    }
    line = *end == 0 ? end : end + 1;
  }
  return false;
}

bool find_word(const char* text, int index, const char** word, std::size_t* length) {
  for (const char* at = text;;) {
    while (is_space(*at)) ++at;
    if (*at == 0) return false;
    const char* end = at;
    while (*end != 0 && !is_space(*end)) ++end;
    if (index-- == 0) {
      *word = at;
      *length = static_cast<std::size_t>(end - at);
      return true;
    }
    at = end;
  }
}

unsigned long long hash_of(const char* bytes, std::size_t count) {
  unsigned long long hash = 14695981039346656037ULL;
  for (std::size_t i = 0; i < count; ++i)
    hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 1099511628211ULL;
  return hash;
}

long list_directory(const char* path, Text& names, bool (*keep)(const char* name)) {
  static constexpr int most = 1024;
  static char* kept[most];
  DIR* directory = ::opendir(path);
  if (directory == nullptr) return -1;
  long count = 0;
  int held = 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    if (keep != nullptr && !keep(entry->d_name)) continue;
    ++count;
    if (held < most) kept[held++] = ::strdup(entry->d_name);
  }
  ::closedir(directory);
  std::qsort(kept, static_cast<std::size_t>(held), sizeof(kept[0]),
             [](const void* a, const void* b) {
               return std::strcmp(*static_cast<char* const*>(a), *static_cast<char* const*>(b));
             });
  for (int i = 0; i < held; ++i) {
    names.add("%s%s", i > 0 ? " " : "", kept[i]);
    std::free(kept[i]);
  }
  return count;
}

}  // namespace gyges::probe
