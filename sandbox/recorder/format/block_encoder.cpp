#include "sandbox/recorder/format/block_encoder.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace gyges::recorder {
namespace {

constexpr std::size_t first_column_bytes = 2048;

std::uint64_t eight_bytes(const char* at) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

std::uint64_t zigzag_of(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63U);
}

std::int64_t difference(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(a - b);
}

}  // namespace

void BlockEncoder::Stream::zigzag(std::int64_t value) {
  varint(zigzag_of(value));
}

void BlockEncoder::Stream::append(std::string_view text) {
  if (text.empty()) return;
  std::memcpy(room(text.size()), text.data(), text.size());
  used += text.size();
}

BlockEncoder::BlockEncoder()
    : shapes_(max_table_entries, ~std::size_t{0}),
      contexts_(max_table_entries, ~std::size_t{0}),
      literals_(max_kept_literals, max_kept_bytes) {
  // They grow with what is recorded: most sessions of many at once record little.
  for (Stream& column : columns_) column.bytes.resize(first_column_bytes);
}

bool BlockEncoder::begin() {
  for (Stream& column : columns_) column.used = 0;
  for (Stream& lane : lanes_) lane.used = 0;
  events_since_fresh_ += events_;
  events_ = 0;
  ++block_;
  summary_.clear();
  fresh_ = fresh_ || events_since_fresh_ >= 4 * max_block_events || literals_.full() ||
           shapes_.full() || contexts_.full();
  if (fresh_) {
    shapes_.clear();
    contexts_.clear();
    literals_.clear();
    structures_.clear();
    predictor_.clear();
    shape_facts_.clear();
    context_blocks_.clear();
    found_contexts_ = {};
    events_since_fresh_ = 0;
    next_literal_ = last_literal_ = 0;
  }
  return std::exchange(fresh_, false);
}

void BlockEncoder::add_definition(std::string_view bytes) {
  columns_[column_definitions].varint(bytes.size());
  columns_[column_definitions].append(bytes);
}

Status BlockEncoder::add(const Event& event) {
  if (event.captures.size() > max_captures)
    return fail("write trace event", "system call " + std::to_string(event.number),
                "it has more than 320 captures", "report this as a defect of the recorder");
  // Looked up below; until then the memory has time to arrive.
  for (std::size_t i = 0; i < event.captures.size(); ++i) {
    const std::string_view bytes = event.captures[i].bytes;
    if (bytes.size() > max_kept_literal_bytes) continue;
    hashes_[i] = literals_.hash(bytes);
    literals_.prefetch(hashes_[i]);
  }
  char* at = shape_.data();
  *at++ = static_cast<char>(event.kind);
  *at++ = static_cast<char>(event.abi);
  *at++ = static_cast<char>(event.verdict);
  *at++ = static_cast<char>((event.has_enter ? shape_has_enter : 0) |
                            (event.has_exit ? shape_has_exit : 0));
  std::memcpy(at, &event.number, sizeof(event.number));
  at += sizeof(event.number);
  for (const Capture& capture : event.captures) {
    bool truncated = capture.truncated || capture.bytes.size() > max_capture_bytes;
    *at++ = static_cast<char>(capture.argument);
    *at++ = static_cast<char>(capture.kind);
    *at++ = static_cast<char>(static_cast<std::uint8_t>(capture.provenance) |
                              (truncated ? capture_truncated : 0));
  }
  std::string_view shape_view(shape_.data(), static_cast<std::size_t>(at - shape_.data()));
  bool added = false;
  // A full table makes the next block start afresh; it has room for a whole block beyond that.
  std::uint32_t index = shapes_.find_or_add(shape_view, added);
  columns_[column_shape].varint(index == StringTable::none ? 0 : index + 1);
  std::size_t count = 0;
  if (index == StringTable::none) {
    add_definition(shape_view);
    summary_.add_shape(event);
    count = stored_arguments(event.kind, event.abi, event.number);
    if (added) shape_facts_.push_back({block_, static_cast<std::uint8_t>(count)});
  } else {
    ShapeFacts& facts = shape_facts_[index];
    if (std::exchange(facts.block, block_) != block_) summary_.add_shape(event);
    count = facts.arguments;
  }
  add_context(event);
  summary_.add_result(event);

  const std::uint64_t time =
      zigzag_of(difference(event.time_ns, predictor_.expected_time(event.tid)));
  columns_[column_time_low].byte(static_cast<std::uint8_t>(time));
  columns_[column_time_high].varint(time >> 8U);
  columns_[column_duration_low].byte(static_cast<std::uint8_t>(event.duration_ns));
  columns_[column_duration_high].varint(event.duration_ns >> 8U);

  Predictor::Expected& expected = predictor_.expect(event.tid, event.number);
  std::uint8_t mask = 0;
  for (std::size_t i = 0; i < count; ++i)
    if (event.args[i] != expected.args[i]) {
      mask |= static_cast<std::uint8_t>(1U << i);
      columns_[column_argument + i].zigzag(difference(event.args[i], expected.args[i]));
      expected.args[i] = event.args[i];
    }
  if (event.result != expected.result) {
    mask |= mask_result;
    columns_[column_result].zigzag(difference(static_cast<std::uint64_t>(event.result),
                                              static_cast<std::uint64_t>(expected.result)));
    expected.result = event.result;
  }
  predictor_.learn(event.tid, event.number, expected, event.time_ns, event.duration_ns);
  columns_[column_mask].byte(mask);
  for (std::size_t i = 0; i < event.captures.size(); ++i)
    add_capture(event, event.captures[i], hashes_[i]);
  ++events_;
  return ok();
}

void BlockEncoder::add_context(const Event& event) {
  const std::array<std::int32_t, 6> context = {event.pid,
                                               event.tid,
                                               event.inside_pid,
                                               event.inside_tid,
                                               static_cast<std::int32_t>(event.origin_call),
                                               static_cast<std::int32_t>(event.active_call)};
  static_assert(sizeof(context) == context_bytes);
  FoundContext& found =
      found_contexts_[static_cast<std::uint32_t>(event.tid) % found_contexts_.size()];
  std::uint32_t index = found.index;
  if (index == StringTable::none || context != found.context) {
    bool added = false;
    std::string_view view(reinterpret_cast<const char*>(context.data()), sizeof(context));
    index = contexts_.find_or_add(view, added);
    if (index == StringTable::none) {
      columns_[column_context].varint(0);
      add_definition(view);
      summary_.add_context(event);
      if (added) context_blocks_.push_back(block_);
      found.index = StringTable::none;
      return;
    }
    found = {context, index};
  }
  columns_[column_context].varint(index + 1);
  if (std::exchange(context_blocks_[index], block_) != block_) summary_.add_context(event);
}

void BlockEncoder::add_capture(const Event& event, const Capture& capture, std::uint64_t hash) {
  std::string_view bytes = capture.bytes.substr(0, max_capture_bytes);
  Stream& codes = columns_[column_capture];
  std::uint32_t index = StringTable::none;
  bool added = false;
  if (bytes.size() <= max_kept_literal_bytes) index = literals_.find_or_add(bytes, hash, added);
  if (index != StringTable::none) {
    // What is used together was mostly added together, so the step is small.
    codes.varint(zigzag_of(std::int64_t{index} - std::int64_t{last_literal_}) + 2);
    last_literal_ = index;
  } else {
    codes.varint(added ? 0 : 1);
    if (added) last_literal_ = next_literal_++;
    add_literal(event.number, capture, bytes);
  }
  std::uint64_t length = std::uint64_t{capture.full_length} + 2;
  if (capture.full_length == bytes.size())
    length = 0;
  else if (static_cast<std::int64_t>(capture.full_length) == event.result)
    length = 1;
  columns_[column_length].varint(length);
}

void BlockEncoder::add_literal(std::uint32_t number, const Capture& capture,
                               std::string_view bytes) {
  columns_[column_literal_size].varint(bytes.size());
  std::size_t words = StructureMemory::words_in(capture.kind, bytes.size());
  if (words > 0) {
    StructureMemory::Words& last = structures_.last(number, capture.argument);
    std::uint64_t changed = 0;
    for (std::size_t i = 0; i < words; ++i) {
      std::uint64_t value = eight_bytes(bytes.data() + i * sizeof(value));
      if (value == last[i]) continue;
      changed |= std::uint64_t{1} << i;
      const bool repeats = i >= word_repeat_distance && value == last[i - word_repeat_distance];
      lanes_[i].zigzag(repeats ? 0 : difference(value, last[i]));
      last[i] = value;
    }
    columns_[column_words_changed].varint(changed);
  }
  columns_[literal_column(capture.kind)].append(bytes.substr(words * sizeof(std::uint64_t)));
}

std::size_t BlockEncoder::raw_bytes() const {
  std::size_t sum = 0;
  for (const Stream& column : columns_) sum += column.used;
  for (const Stream& lane : lanes_) sum += lane.used;
  return sum;
}

const std::vector<std::uint8_t>& BlockEncoder::finish() {
  Stream& words = columns_[column_words];
  words.used = 0;
  for (const Stream& lane : lanes_) words.varint(lane.used);
  for (const Stream& lane : lanes_)
    words.append({reinterpret_cast<const char*>(lane.bytes.data()), lane.used});
  Stream sizes;
  for (const Stream& column : columns_) sizes.varint(column.used);
  payload_.clear();
  payload_.reserve(raw_bytes() + sizes.used);
  payload_.insert(payload_.end(), sizes.bytes.begin(),
                  sizes.bytes.begin() + static_cast<std::ptrdiff_t>(sizes.used));
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (i == first_number_column) number_columns_at_ = payload_.size();
    payload_.insert(payload_.end(), columns_[i].bytes.begin(),
                    columns_[i].bytes.begin() + static_cast<std::ptrdiff_t>(columns_[i].used));
  }
  return payload_;
}

}  // namespace gyges::recorder
