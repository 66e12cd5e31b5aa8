// The little text work that the probe does, without allocation.
#pragma once

#include <cstddef>

namespace gyges::probe {

// A buffer of fixed size that is filled by printf's rules and cut at its end. Always terminated.
struct Text {
  char bytes[4096] = {};
  std::size_t length = 0;

  void add(const char* format, ...) __attribute__((format(printf, 2, 3)));
  void add_bytes(const char* from, std::size_t count);
  void clear() { bytes[length = 0] = 0; }
};

// "ENOENT"; "errno 999" for what has no name.
const char* error_name(int error);

// Reads at most size - 1 bytes of a file, terminated. -1 with errno where that fails.
long read_file(const char* path, char* buffer, std::size_t size);

// The rest of the first line of `text` that begins with `key` followed by white space, ':' or '=',
// without white space at its ends. False where there is none. Points into `text`.
bool find_line(const char* text, const char* key, const char** value, std::size_t* length);

// The `index`-th (from 0) word of `text`. False where there is none.
bool find_word(const char* text, int index, const char** word, std::size_t* length);

// FNV-1a, 64 bits: tells contents apart, proves nothing.
unsigned long long hash_of(const char* bytes, std::size_t count);

// Names in a directory, sorted, at most `limit` of them, joined by spaces; the number of all of
// them, or -1 with errno. `keep` may leave names out.
long list_directory(const char* path, Text& names, bool (*keep)(const char* name));

}  // namespace gyges::probe
