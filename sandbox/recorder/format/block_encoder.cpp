#include "sandbox/recorder/format/block_encoder.h"

#include <algorithm>
#include <bit>
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

std::int64_t difference(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(a - b);
}

// Parts of a payload that are shorter are packed with what follows them.
constexpr std::size_t least_section_bytes = 1024;

// How many bytes both begin with.
std::size_t common_prefix(std::string_view a, std::string_view b) {
  const std::size_t most = std::min(a.size(), b.size());
  std::size_t at = 0;
  for (; at + 8 <= most; at += 8) {
    const std::uint64_t differ = eight_bytes(a.data() + at) ^ eight_bytes(b.data() + at);
    if (differ != 0) return at + static_cast<std::size_t>(std::countr_zero(differ)) / 8;
  }
  while (at < most && a[at] == b[at]) ++at;
  return at;
}

}  // namespace

BlockEncoder::BlockEncoder(ClockStep clock_step)
    : times_(clock_step),
      shapes_(max_table_entries, ~std::size_t{0}),
      contexts_(max_table_entries, ~std::size_t{0}),
      literals_(max_kept_literals, max_kept_bytes) {
  // They grow with what is recorded: most sessions of many at once record little.
  for (ColumnStream& column : columns_) column.bytes.resize(first_column_bytes);
}

bool BlockEncoder::begin() {
  for (ColumnStream& column : columns_) column.used = 0;
  for (ColumnStream& lane : lanes_) lane.used = 0;
  times_.clear();
  events_since_fresh_ += events_;
  events_ = 0;
  prefix_bytes_ = 0;
  ++block_;
  summary_.clear();
  fresh_ = fresh_ || events_since_fresh_ >= 4 * max_block_events || literals_.full() ||
           shapes_.full() || contexts_.full();
  if (fresh_) {
    shapes_.clear();
    contexts_.clear();
    literals_.clear();
    structures_.clear();
    successions_.clear();
    for (std::string& last : last_strings_) last.clear();
    predictor_.clear();
    shape_facts_.clear();
    context_blocks_.clear();
    found_contexts_ = {};
    events_since_fresh_ = 0;
    next_shape_ = next_literal_ = last_literal_ = 0;
  }
  return std::exchange(fresh_, false);
}

void BlockEncoder::add_definition(std::string_view bytes) {
  columns_[column_definitions].varint(bytes.size());
  columns_[column_definitions].append(bytes);
}

// What tells its shape, as it stands in a definition.
std::string_view BlockEncoder::shape_of(const Event& event) {
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
  return {shape_.data(), static_cast<std::size_t>(at - shape_.data())};
}

bool BlockEncoder::add(const Event& event) {
  if (event.captures.size() > max_captures) return false;
  Trail& trail = predictor_.trail(event.tid);
  const std::uint32_t here = trail.number();
  successions_.prefetch(here);
  add_context(event);
  const std::string_view shape = shape_of(event);
  Succession next;
  bool foreseen = successions_.find(here, next);
  // Looked up below; until then the memory has time to arrive. What is as foreseen need not be.
  for (std::size_t i = 0; i < event.captures.size(); ++i) {
    const std::string_view bytes = event.captures[i].bytes;
    as_foreseen_[i] = foreseen && i < Succession::kept_literals && next.literals[i] != no_literal &&
                      bytes == literals_[next.literals[i]];
    if (as_foreseen_[i] || bytes.size() > max_kept_literal_bytes) continue;
    hashes_[i] = literals_.hash(bytes);
    literals_.prefetch(hashes_[i]);
  }
  Succession now;
  std::size_t count = 0;
  now.shape = add_shape(event, shape, next.shape, foreseen, count);
  summary_.add_result(event);
  times_.add(now.shape, event.time_ns, event.duration_ns, predictor_.expected_time(event.tid));

  Predictor::Expected& expected = predictor_.expect(event.tid, event.number);
  std::uint8_t mask = 0;
  now.steps = {0, 0, 0, 0, 0};
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t step = event.args[i] - expected.args[i];
    std::uint64_t expected_step = 0;
    if (i < Succession::result_step) {
      now.steps[i] = step;
      if (foreseen) expected_step = next.steps[i];
    }
    if (step != expected_step) {
      mask |= static_cast<std::uint8_t>(1U << i);
      columns_[column_argument + i].zigzag(difference(step, expected_step));
    }
    expected.args[i] = event.args[i];
  }
  const std::uint64_t result_step =
      static_cast<std::uint64_t>(event.result) - static_cast<std::uint64_t>(expected.result);
  const std::uint64_t expected_step = foreseen ? next.steps[Succession::result_step] : 0;
  if (result_step != expected_step) {
    mask |= mask_result;
    columns_[column_result].zigzag(difference(result_step, expected_step));
  }
  now.steps[Succession::result_step] = result_step;
  expected.result = event.result;
  predictor_.learn(event.tid, event.number, expected, event.time_ns, event.duration_ns);
  columns_[column_mask].byte(mask);
  std::uint32_t event_trail = trail_of_shape(now.shape);
  now.literals = {no_literal, no_literal, no_literal};
  for (std::size_t i = 0; i < event.captures.size(); ++i) {
    const bool kept = i < Succession::kept_literals;
    const std::uint32_t literal =
        add_capture(event, i, foreseen && kept ? next.literals[i] : no_literal,
                    as_foreseen_[i] ? next.literals[i] : StringTable::none);
    if (kept) now.literals[i] = literal;
    event_trail = trail_with_literal(event_trail, literal);
  }
  if (!foreseen || now != next) successions_.put(here, now);
  trail.add(event_trail);
  successions_.prefetch(trail.number());
  ++events_;
  return true;
}

// Its index. `foreseen` becomes false if it is not `next`.
std::uint32_t BlockEncoder::add_shape(const Event& event, std::string_view bytes,
                                      std::uint32_t next, bool& foreseen, std::size_t& arguments) {
  std::uint32_t index = next;
  // What a full table has no room for is numbered beyond it, and may be foreseen.
  if (!foreseen || next >= shapes_.size() || bytes != shapes_[next]) {
    foreseen = false;
    bool added = false;
    // A full table makes the next block start afresh; it has room for a whole block beyond that.
    index = shapes_.find_or_add(bytes, added);
    if (index == StringTable::none) {
      columns_[column_shape].varint(shape_new);
      add_definition(bytes);
      summary_.add_shape(event);
      arguments = stored_arguments(event.kind, event.abi, event.number);
      if (added) shape_facts_.push_back({block_, static_cast<std::uint8_t>(arguments)});
      return next_shape_++;
    }
  }
  columns_[column_shape].varint(foreseen ? shape_foreseen : index + first_shape);
  ShapeFacts& facts = shape_facts_[index];
  if (std::exchange(facts.block, block_) != block_) summary_.add_shape(event);
  arguments = facts.arguments;
  return index;
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

std::uint32_t BlockEncoder::add_capture(const Event& event, std::size_t place,
                                        std::uint32_t foreseen, std::uint32_t index) {
  const Capture& capture = event.captures[place];
  std::string_view bytes = capture.bytes.substr(0, max_capture_bytes);
  ColumnStream& codes = columns_[column_capture];
  bool added = false;
  if (index == StringTable::none && bytes.size() <= max_kept_literal_bytes)
    index = literals_.find_or_add(bytes, hashes_[place], added);
  if (index != StringTable::none) {
    // What is used together was mostly added together, so the step is small.
    if (index == foreseen)
      codes.varint(capture_foreseen);
    else
      codes.varint(zigzag_of(std::int64_t{index} - std::int64_t{last_literal_}) + first_capture);
    last_literal_ = index;
  } else {
    codes.varint(added ? capture_kept_literal : capture_literal);
    if (added) index = last_literal_ = next_literal_++;
    add_literal(event.number, capture, bytes);
  }
  std::uint64_t length = std::uint64_t{capture.full_length} + 2;
  if (capture.full_length == bytes.size())
    length = 0;
  else if (static_cast<std::int64_t>(capture.full_length) == event.result)
    length = 1;
  columns_[column_length].varint(length);
  return index;
}

void BlockEncoder::add_literal(std::uint32_t number, const Capture& capture,
                               std::string_view bytes) {
  const std::size_t words = StructureMemory::words_in(capture.kind, bytes.size());
  const Column column = literal_column(capture.kind);
  const bool structure = is_structure(capture.kind);
  if (words > 0 || structure) add_words(number, capture, bytes, words);
  const std::string_view rest = bytes.substr(words * sizeof(std::uint64_t));
  if (column != column_strings) {
    if (!structure) columns_[column_literal_size].varint(bytes.size());
    columns_[column].append(rest);
    return;
  }
  // An identity that is none has no words before its string.
  const bool whole = words == 0 && capture.kind == CaptureKind::file_identity;
  std::size_t prefix = 0;
  if (!whole) {
    std::string& last = last_strings_[static_cast<std::size_t>(capture.kind)];
    prefix = common_prefix(last, rest);
    last.resize(prefix);
    last += rest.substr(prefix);
    prefix_bytes_ += prefix;
  }
  columns_[column_prefix].varint(whole ? 0 : 1 + prefix);
  columns_[column_literal_size].varint(rest.size() - prefix);
  columns_[column].append(rest.substr(prefix));
}

void BlockEncoder::add_words(std::uint32_t number, const Capture& capture, std::string_view bytes,
                             std::size_t words) {
  StructureMemory::Last& last = structures_.last(number, capture.argument);
  std::uint64_t changed = 0;
  for (std::size_t i = 0; i < words; ++i) {
    const std::uint64_t value = eight_bytes(bytes.data() + i * sizeof(value));
    if (value == last.words[i]) continue;
    changed |= std::uint64_t{1} << i;
    if (i >= word_repeat_distance && value == last.words[i - word_repeat_distance])
      lanes_[i].varint(0);
    else if (last.trust[i] > 0)
      lanes_[i].zigzag(difference(value, last.words[i]));
    else
      lanes_[i].varint(code_of_changed(value, last.words[i]));
    StructureMemory::learn(last, i, value);
  }
  // Structures of one call are mostly of one size; that of an identity tells its string.
  const bool resized = is_structure(capture.kind) && last.size != bytes.size();
  if (resized) {
    columns_[column_literal_size].varint(bytes.size());
    last.size = static_cast<std::uint32_t>(bytes.size());
  }
  columns_[column_words_changed].varint(changed << 1U | (resized ? 1U : 0U));
}

std::size_t BlockEncoder::raw_bytes() const {
  std::size_t sum = 0;
  for (const ColumnStream& column : columns_) sum += column.used;
  for (const ColumnStream& lane : lanes_) sum += lane.used;
  return sum + events_ * TimeColumnsEncoder::bytes_of_event;
}

void BlockEncoder::end_section(bool numbers, std::size_t least_bytes) {
  const std::size_t before = sections_.empty() ? 0 : sections_.back().end;
  if (payload_.size() > before && payload_.size() - before >= least_bytes)
    sections_.push_back({payload_.size(), numbers});
}

const std::vector<std::uint8_t>& BlockEncoder::finish() {
  ColumnStream& words = columns_[column_words];
  words.used = 0;
  for (const ColumnStream& lane : lanes_) words.varint(lane.used);
  const std::size_t words_head = words.used;
  for (const ColumnStream& lane : lanes_) words.append(lane.view());
  times_.finish();
  columns_[column_clock].append(times_.clock.view());
  columns_[column_beside].append(times_.beside.view());
  for (std::size_t i = 0; i < times_.parts.size(); ++i)
    columns_[column_time_low + i].append(times_.parts[i].view());
  ColumnStream sizes;
  for (const ColumnStream& column : columns_) sizes.varint(column.used);
  payload_.clear();
  sections_.clear();
  payload_.reserve(raw_bytes() + sizes.used);
  const auto put = [&](std::string_view bytes) {
    payload_.insert(payload_.end(), bytes.begin(), bytes.end());
  };
  put(sizes.view());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string_view column = columns_[i].view();
    if (i == first_number_column) end_section(false, 1);
    std::size_t at = 0;
    if (i == column_words) {
      at = words_head;
      put(column.substr(0, at));
      for (const ColumnStream& lane : lanes_) {
        put(lane.view());
        end_section(false, least_section_bytes);
        at += lane.used;
      }
    }
    if (i >= column_time_low && i <= column_duration_high) {
      for (const std::size_t seam : times_.seams[i - column_time_low]) {
        put(column.substr(at, seam - at));
        at = seam;
        end_section(true, least_section_bytes);
      }
    }
    put(column.substr(at));
    end_section(i >= first_number_column, least_section_bytes);
  }
  end_section(true, 1);
  return payload_;
}

}  // namespace gyges::recorder
