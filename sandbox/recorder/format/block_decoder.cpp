#include "sandbox/recorder/format/block_decoder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

namespace gyges::recorder {
namespace {

constexpr std::size_t max_read_entries = max_table_entries + max_block_events;

}  // namespace

BlockDecoder::BlockDecoder(std::uint32_t version)
    : used_columns_(version < split_times_version ? old_column_count : column_count),
      has_lanes_(version >= word_lanes_version) {}

bool BlockDecoder::Cursor::long_varint(std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at == end) return false;
    std::uint8_t byte = *at++;
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool BlockDecoder::Cursor::take(std::size_t count, std::string_view& bytes) {
  if (static_cast<std::size_t>(end - at) < count) return false;
  bytes = {reinterpret_cast<const char*>(at), count};
  at += count;
  return true;
}

bool BlockDecoder::split_columns(std::string_view payload) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(payload.data());
  Cursor head{begin, begin + payload.size()};
  std::array<std::uint64_t, column_count> sizes{};
  for (std::size_t i = 0; i < used_columns_; ++i)
    if (!head.varint(sizes[i])) return false;
  for (std::size_t i = 0; i < column_count; ++i) {
    if (static_cast<std::uint64_t>(head.end - head.at) < sizes[i]) return false;
    columns_[i] = {head.at, head.at + sizes[i]};
    head.at += sizes[i];
  }
  return head.at == head.end && (!has_lanes_ || split_words());
}

bool BlockDecoder::split_words() {
  Cursor& words = columns_[column_words];
  std::array<std::uint64_t, StructureMemory::max_words> sizes{};
  for (std::uint64_t& size : sizes)
    if (!words.varint(size)) return false;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (static_cast<std::uint64_t>(words.end - words.at) < sizes[i]) return false;
    lanes_[i] = {words.at, words.at + sizes[i]};
    words.at += sizes[i];
  }
  return true;
}

// One that has changed.
bool BlockDecoder::read_word(std::size_t place, StructureMemory::Words& last) {
  std::int64_t delta = 0;
  if (!(has_lanes_ ? lanes_[place] : columns_[column_words]).zigzag(delta)) return false;
  if (has_lanes_ && delta == 0 && place >= word_repeat_distance)
    last[place] = last[place - word_repeat_distance];
  else
    last[place] += static_cast<std::uint64_t>(delta);
  return true;
}

bool BlockDecoder::define(std::string_view& bytes) {
  std::uint64_t size = 0;
  Cursor& definitions = columns_[column_definitions];
  return definitions.varint(size) && definitions.take(size, bytes);
}

bool BlockDecoder::parse_shape(std::string_view bytes, Shape& shape) {
  if (bytes.size() < shape_head_bytes || (bytes.size() - shape_head_bytes) % shape_capture_bytes)
    return false;
  std::size_t count = (bytes.size() - shape_head_bytes) / shape_capture_bytes;
  auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  if (count > max_captures || at(0) < 1 || at(0) > static_cast<std::uint8_t>(EventKind::content) ||
      at(1) > static_cast<std::uint8_t>(Abi::x32) ||
      at(2) > static_cast<std::uint8_t>(Verdict::killed) ||
      at(3) > (shape_has_enter | shape_has_exit))
    return false;
  shape.kind = static_cast<EventKind>(at(0));
  shape.abi = static_cast<Abi>(at(1));
  shape.verdict = static_cast<Verdict>(at(2));
  shape.has_enter = (at(3) & shape_has_enter) != 0;
  shape.has_exit = (at(3) & shape_has_exit) != 0;
  std::memcpy(&shape.number, bytes.data() + 4, sizeof(shape.number));
  shape.arguments =
      static_cast<std::uint8_t>(stored_arguments(shape.kind, shape.abi, shape.number));
  shape.captures.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    if (!parse_capture(bytes.substr(shape_head_bytes + i * shape_capture_bytes), shape.captures[i]))
      return false;
  return true;
}

bool BlockDecoder::parse_capture(std::string_view bytes, CaptureShape& capture) {
  auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  std::uint8_t provenance = at(2) & static_cast<std::uint8_t>(~capture_truncated);
  capture.argument = at(0);
  capture.kind = static_cast<CaptureKind>(at(1));
  capture.provenance = static_cast<Provenance>(provenance);
  capture.truncated = (at(2) & capture_truncated) != 0;
  return at(0) <= result_argument && at(1) >= 1 &&
         at(1) <= static_cast<std::uint8_t>(CaptureKind::absolute_path) &&
         provenance <= static_cast<std::uint8_t>(Provenance::exit);
}

const BlockDecoder::Shape* BlockDecoder::read_shape() {
  std::uint64_t code = 0;
  if (!columns_[column_shape].varint(code)) return nullptr;
  if (code != 0) return code <= shapes_.size() ? &shapes_[code - 1] : nullptr;
  std::string_view bytes;
  Shape shape;
  if (shapes_.size() >= max_read_entries || !define(bytes) || !parse_shape(bytes, shape))
    return nullptr;
  return &shapes_.emplace_back(std::move(shape));
}

const BlockDecoder::Context* BlockDecoder::read_context() {
  std::uint64_t code = 0;
  if (!columns_[column_context].varint(code)) return nullptr;
  if (code != 0) return code <= contexts_.size() ? &contexts_[code - 1] : nullptr;
  std::string_view bytes;
  if (contexts_.size() >= max_read_entries || !define(bytes) || bytes.size() != context_bytes)
    return nullptr;
  static_assert(sizeof(Context) == context_bytes);
  Context context;
  std::memcpy(&context, bytes.data(), sizeof(context));
  return &contexts_.emplace_back(context);
}

bool BlockDecoder::read_literal(std::uint32_t number, Capture& capture) {
  std::uint64_t size = 0;
  if (!columns_[column_literal_size].varint(size) || size > max_capture_bytes) return false;
  Cursor& column = columns_[literal_column(capture.kind)];
  std::size_t words = StructureMemory::words_in(capture.kind, size);
  if (words == 0) return column.take(size, capture.bytes);
  std::uint64_t changed = 0;
  std::string_view rest;
  if (!columns_[column_words_changed].varint(changed) || (words < 64 && changed >> words != 0) ||
      !column.take(size - words * sizeof(std::uint64_t), rest))
    return false;
  StructureMemory::Words& last = structures_.last(number, capture.argument);
  char* const bytes = rebuilt_.room(size);
  for (std::size_t i = 0; i < words; ++i) {
    if ((changed >> i & 1U) != 0 && !read_word(i, last)) return false;
    std::memcpy(bytes + i * sizeof(last[i]), &last[i], sizeof(last[i]));
  }
  if (!rest.empty()) std::memcpy(bytes + words * sizeof(std::uint64_t), rest.data(), rest.size());
  capture.bytes = {bytes, size};
  return true;
}

bool BlockDecoder::read_capture(const Event& event, Capture& capture) {
  std::uint64_t code = 0;
  if (!columns_[column_capture].varint(code)) return false;
  if (code >= 2) {
    std::uint64_t step = code - 2;
    std::uint64_t index = last_literal_ + ((step >> 1U) ^ (~(step & 1U) + 1));
    if (index >= literals_.size()) return false;
    last_literal_ = index;
    capture.bytes = literals_[index];
  } else {
    if (!read_literal(event.number, capture)) return false;
    if (code == 0) {
      literal_bytes_ += capture.bytes.size();
      if (literals_.size() >= max_kept_literals || literal_bytes_ > max_kept_bytes) return false;
      last_literal_ = literals_.size();
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

bool BlockDecoder::read_times(Event& event) {
  std::uint64_t time = 0;
  if (used_columns_ == column_count) {
    std::uint8_t time_low = 0;
    std::uint8_t duration_low = 0;
    if (!columns_[column_time_low].byte(time_low) || !columns_[column_time_high].varint(time) ||
        !columns_[column_duration_low].byte(duration_low) ||
        !columns_[column_duration_high].varint(event.duration_ns) || time >> 56U != 0 ||
        event.duration_ns >> 56U != 0)
      return false;
    time = time << 8U | time_low;
    event.duration_ns = event.duration_ns << 8U | duration_low;
  } else if (!columns_[column_time].varint(time) ||
             !columns_[column_duration].varint(event.duration_ns)) {
    return false;
  }
  event.time_ns = predictor_.expected_time(event.tid) + ((time >> 1U) ^ (~(time & 1U) + 1));
  return true;
}

bool BlockDecoder::read_event(Event& event) {
  const Shape* shape = read_shape();
  const Context* context = read_context();
  if (shape == nullptr || context == nullptr) return false;
  event.kind = shape->kind;
  event.abi = shape->abi;
  event.verdict = shape->verdict;
  event.has_enter = shape->has_enter;
  event.has_exit = shape->has_exit;
  event.number = shape->number;
  event.pid = context->pid;
  event.tid = context->tid;
  event.inside_pid = context->inside_pid;
  event.inside_tid = context->inside_tid;
  event.origin_call = context->origin_call;
  event.active_call = context->active_call;
  std::int64_t delta = 0;
  if (!read_times(event)) return false;
  std::uint8_t mask = 0;
  if (!columns_[column_mask].byte(mask) || mask > 0x7F) return false;
  Predictor::Expected& expected = predictor_.expect(event.tid, event.number);
  for (unsigned left = mask & 0x3FU; left != 0; left &= left - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(left));
    if (!columns_[column_argument + i].zigzag(delta)) return false;
    expected.args[i] += static_cast<std::uint64_t>(delta);
  }
  if ((mask & mask_result) != 0) {
    if (!columns_[column_result].zigzag(delta)) return false;
    expected.result = static_cast<std::int64_t>(static_cast<std::uint64_t>(expected.result) +
                                                static_cast<std::uint64_t>(delta));
  }
  predictor_.learn(event.tid, event.number, expected, event.time_ns, event.duration_ns);
  event.args = expected.args;
  for (std::size_t i = shape->arguments; i < event.args.size(); ++i) event.args[i] = 0;
  event.result = expected.result;
  rebuilt_.clear();
  captures_.resize(shape->captures.size());
  for (std::size_t i = 0; i < captures_.size(); ++i) {
    const CaptureShape& known = shape->captures[i];
    Capture& capture = captures_[i];
    capture.argument = known.argument;
    capture.kind = known.kind;
    capture.provenance = known.provenance;
    capture.truncated = known.truncated;
    if (!read_capture(event, capture)) return false;
  }
  event.captures = captures_;
  return true;
}

Status BlockDecoder::decode(std::string_view payload, std::uint32_t events, bool fresh,
                            std::uint64_t first_sequence,
                            const std::function<bool(const Event&)>& visit, bool& stopped) {
  stopped = false;
  if (fresh) {
    shapes_.clear();
    contexts_.clear();
    literals_.clear();
    kept_.clear();
    literal_bytes_ = 0;
    structures_.clear();
    last_literal_ = 0;
    predictor_.clear();
  }
  if (!split_columns(payload)) return fail("unpack trace block", "", "its columns do not add up");
  Event event;
  for (std::uint32_t i = 0; i < events; ++i) {
    if (!read_event(event))
      return fail("unpack trace block", "",
                  "event " + std::to_string(first_sequence + i) + " is inconsistent");
    event.sequence = first_sequence + i;
    if (!stopped && !visit(event)) {
      stopped = true;
      return ok();
    }
  }
  for (const Cursor& column : columns_)
    if (column.at != column.end)
      return fail("unpack trace block", "", "it holds more than its events");
  for (const Cursor& lane : lanes_)
    if (lane.at != lane.end)
      return fail("unpack trace block", "", "it holds more words than its events");
  return ok();
}

}  // namespace gyges::recorder
