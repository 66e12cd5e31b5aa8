// Captures of an event: the kept literal that they are, or a literal of their own.
#include <cstring>
#include <string>

#include "sandbox/recorder/format/block_decoder.h"

namespace gyges::recorder {

// One that has changed.
bool BlockDecoder::read_word(std::size_t place, StructureMemory::Last& last) {
  std::uint64_t code = 0;
  if (!(has_lanes_ ? lanes_[place] : columns_[column_words]).varint(code)) return false;
  std::uint64_t value = last.words[place];
  if (has_lanes_ && code == 0 && place >= word_repeat_distance)
    value = last.words[place - word_repeat_distance];
  else if (!foresees_ || last.trust[place] > 0)
    value += static_cast<std::uint64_t>(of_zigzag(code));
  else
    value = changed_of_code(code, value);
  StructureMemory::learn(last, place, value);
  return true;
}

bool BlockDecoder::read_words(std::uint32_t number, const Capture& capture, std::size_t words,
                              std::uint64_t changed, char* bytes) {
  if (words < 63 && changed >> words != 0) return false;
  StructureMemory::Last& last = structures_.last(number, capture.argument);
  for (std::size_t i = 0; i < words; ++i) {
    if ((changed >> i & 1U) != 0 && !read_word(i, last)) return false;
    std::memcpy(bytes + i * sizeof(std::uint64_t), &last.words[i], sizeof(std::uint64_t));
  }
  return true;
}

// Up to format 6.
bool BlockDecoder::read_old_literal(std::uint32_t number, Capture& capture) {
  std::uint64_t size = 0;
  if (!columns_[column_literal_size].varint(size) || size > max_capture_bytes) return false;
  Cursor& column = columns_[literal_column(capture.kind)];
  const std::size_t words = StructureMemory::words_in(capture.kind, size);
  if (words == 0) return column.take(size, capture.bytes);
  std::uint64_t changed = 0;
  std::string_view rest;
  if (!columns_[column_words_changed].varint(changed) ||
      !column.take(size - words * sizeof(std::uint64_t), rest))
    return false;
  char* const bytes = rebuilt_.room(size);
  if (!read_words(number, capture, words, changed, bytes)) return false;
  if (!rest.empty()) std::memcpy(bytes + words * sizeof(std::uint64_t), rest.data(), rest.size());
  capture.bytes = {bytes, size};
  return true;
}

bool BlockDecoder::read_structure(std::uint32_t number, Capture& capture) {
  StructureMemory::Last& last = structures_.last(number, capture.argument);
  std::uint64_t changed = 0;
  if (!columns_[column_words_changed].varint(changed)) return false;
  if ((changed & 1U) != 0) {
    std::uint64_t size = 0;
    if (!columns_[column_literal_size].varint(size) || size > max_capture_bytes) return false;
    last.size = static_cast<std::uint32_t>(size);
  }
  const std::size_t words = StructureMemory::words_in(capture.kind, last.size);
  std::string_view rest;
  char* const bytes = rebuilt_.room(last.size);
  if (!read_words(number, capture, words, changed >> 1U, bytes) ||
      !columns_[column_bytes].take(last.size - words * sizeof(std::uint64_t), rest))
    return false;
  if (!rest.empty()) std::memcpy(bytes + words * sizeof(std::uint64_t), rest.data(), rest.size());
  capture.bytes = {bytes, last.size};
  return true;
}

bool BlockDecoder::read_string(std::uint32_t number, Capture& capture) {
  std::uint64_t code = 0;
  std::uint64_t size = 0;
  std::string_view rest;
  if (!columns_[column_prefix].varint(code) || !columns_[column_literal_size].varint(size) ||
      size > max_capture_bytes || !columns_[column_strings].take(size, rest))
    return false;
  capture.bytes = rest;
  if (code == 0) return true;
  std::string& last = last_strings_[static_cast<std::size_t>(capture.kind)];
  if (code - 1 > last.size() || code - 1 + size > max_capture_bytes) return false;
  prefix_bytes_ += code - 1;
  if (prefix_bytes_ > max_prefix_bytes) return false;
  last.resize(code - 1);
  last += rest;
  const std::size_t head = capture.kind == CaptureKind::file_identity ? sizeof(FileIdentity) : 0;
  char* const bytes = rebuilt_.room(head + last.size());
  if (head != 0) {
    std::uint64_t changed = 0;
    if (!columns_[column_words_changed].varint(changed) || (changed & 1U) != 0 ||
        !read_words(number, capture, head / sizeof(std::uint64_t), changed >> 1U, bytes))
      return false;
  }
  if (!last.empty()) std::memcpy(bytes + head, last.data(), last.size());
  capture.bytes = {bytes, head + last.size()};
  return capture.bytes.size() <= max_capture_bytes;
}

bool BlockDecoder::read_literal(std::uint32_t number, Capture& capture) {
  if (!foresees_) return read_old_literal(number, capture);
  if (literal_column(capture.kind) == column_strings) return read_string(number, capture);
  if (is_structure(capture.kind)) return read_structure(number, capture);
  std::uint64_t size = 0;
  return columns_[column_literal_size].varint(size) && size <= max_capture_bytes &&
         columns_[column_bytes].take(size, capture.bytes);
}

bool BlockDecoder::read_capture(const Event& event, Capture& capture, std::uint32_t& literal) {
  std::uint64_t code = 0;
  if (!columns_[column_capture].varint(code)) return false;
  const std::uint64_t first = foresees_ ? first_capture : capture_foreseen;
  if (code > capture_literal) {
    std::uint64_t index = literal;
    if (code >= first) index = last_literal_ + static_cast<std::uint64_t>(of_zigzag(code - first));
    if (index >= literals_.size()) return false;
    last_literal_ = index;
    capture.bytes = literals_[index];
    literal = static_cast<std::uint32_t>(index);
  } else {
    literal = no_literal;
    if (!read_literal(event.number, capture)) return false;
    if (code == capture_kept_literal) {
      literal_bytes_ += capture.bytes.size();
      if (literals_.size() >= max_kept_literals || literal_bytes_ > max_kept_bytes ||
          (foresees_ && capture.bytes.size() > max_kept_literal_bytes))
        return false;
      last_literal_ = literals_.size();
      literal = static_cast<std::uint32_t>(last_literal_);
      capture.bytes = literals_.emplace_back(kept_.keep(capture.bytes));
    }
  }
  std::uint64_t length = 0;
  if (!columns_[column_length].varint(length)) return false;
  if (length == 0)
    length = capture.bytes.size();
  else if (length == 1)
    length = static_cast<std::uint64_t>(event.result);
  else
    length -= 2;
  if (length > 0xFFFFFFFFU) return false;
  capture.full_length = static_cast<std::uint32_t>(length);
  return true;
}

}  // namespace gyges::recorder
