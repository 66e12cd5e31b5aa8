#include "sandbox/recorder/format/block_codec.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

constexpr std::uint8_t mask_result = 0x40;
constexpr std::uint8_t shape_has_enter = 1;
constexpr std::uint8_t shape_has_exit = 2;
constexpr std::uint8_t capture_truncated = 0x80;
constexpr std::size_t shape_head_bytes = 8;
constexpr std::size_t shape_capture_bytes = 3;
constexpr std::size_t context_bytes = 24;
constexpr std::size_t max_read_entries = max_table_entries + max_block_events;

std::uint64_t load64(const char* at) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

// Multiply-and-fold over 8-byte words. Not cryptographic; the seed keeps collisions unpredictable.
std::uint64_t hash_of(std::string_view bytes, std::uint64_t seed) {
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t hash = seed ^ (left * 0x9E3779B97F4A7C15U);
  for (; left >= 8; at += 8, left -= 8) hash = mix(hash ^ load64(at), 0xD6E8FEB86659FD93U);
  std::uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);
  return mix(hash ^ tail, seed | 1U);
}

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  if (::getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != static_cast<ssize_t>(sizeof(seed)))
    seed = reinterpret_cast<std::uintptr_t>(&seed);  // early boot: address randomisation
  return seed;
}

std::uint64_t zigzag_of(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63U);
}

std::int64_t difference(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(a - b);
}

}  // namespace

std::size_t stored_arguments(EventKind kind, Abi abi, std::uint32_t number) {
  const SyscallSpec* spec = kind == EventKind::syscall ? find_syscall(abi, number) : nullptr;
  return spec != nullptr ? spec->argument_count : 6;
}

namespace {
constexpr std::size_t slot_count = 4096;
constexpr std::size_t number_count = 1024;
constexpr std::size_t thread_count = 1024;

std::size_t slot_of(std::int32_t tid, std::uint32_t number) {
  return ((static_cast<std::uint32_t>(tid) * 0x9E3779B1U) ^ (number * 0x85EBCA6BU)) >> 20U;
}
std::size_t thread_of(std::int32_t tid) {
  return static_cast<std::uint32_t>(tid) % thread_count;
}
}  // namespace

Predictor::Predictor() {
  clear();
}

void Predictor::clear() {
  slots_.assign(slot_count, {});
  by_number_.assign(number_count, {});
  threads_.assign(thread_count, {});
  last_exit_ns_ = 0;
}

Predictor::Expected& Predictor::expect(std::int32_t tid, std::uint32_t number) {
  Slot& slot = slots_[slot_of(tid, number)];
  if (!slot.used || slot.tid != tid || slot.number != number)
    slot = {tid, number, true, by_number_[number % number_count]};
  return slot.last;
}

std::uint64_t Predictor::expected_time(std::int32_t tid) const {
  const ThreadSlot& thread = threads_[thread_of(tid)];
  return thread.tid == tid && thread.exit_ns != 0 ? thread.exit_ns : last_exit_ns_;
}

void Predictor::learn(std::int32_t tid, std::uint32_t number, const Expected& now,
                      std::uint64_t time_ns, std::uint64_t duration_ns) {
  by_number_[number % number_count] = now;
  last_exit_ns_ = time_ns + duration_ns;
  threads_[thread_of(tid)] = {tid, last_exit_ns_};
}

StringTable::StringTable(std::size_t max_entries, std::size_t max_bytes)
    : max_entries_(max_entries), max_bytes_(max_bytes), seed_(random_seed()), slots_(1024) {}

void StringTable::clear() {
  arena_.clear();
  entries_.clear();
  slots_.assign(1024, 0);
  full_ = false;
}

void StringTable::grow() {
  slots_.assign(slots_.size() * 2, 0);
  std::size_t mask = slots_.size() - 1;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    std::size_t at = entries_[i].hash & mask;
    while (slots_[at] != 0) at = (at + 1) & mask;
    slots_[at] = i + 1;
  }
}

std::uint32_t StringTable::find_or_add(std::string_view bytes, bool& added) {
  added = false;
  std::uint64_t hash = hash_of(bytes, seed_);
  std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  for (; slots_[at] != 0; at = (at + 1) & mask) {
    const Entry& entry = entries_[slots_[at] - 1];
    if (entry.hash == hash && entry.size == bytes.size() &&
        std::memcmp(arena_.data() + entry.offset, bytes.data(), bytes.size()) == 0)
      return slots_[at] - 1;
  }
  if (entries_.size() >= max_entries_ || arena_.size() + bytes.size() > max_bytes_) {
    full_ = true;
    return none;
  }
  added = true;
  entries_.push_back(
      {hash, static_cast<std::uint32_t>(arena_.size()), static_cast<std::uint32_t>(bytes.size())});
  arena_ += bytes;
  slots_[at] = static_cast<std::uint32_t>(entries_.size());
  if (entries_.size() * 2 > slots_.size()) grow();
  return none;
}

std::size_t StructureMemory::words_in(CaptureKind kind, std::size_t size) {
  switch (kind) {
    case CaptureKind::structure_in:
    case CaptureKind::structure_out:
      return std::min(size / sizeof(std::uint64_t), max_words);
    case CaptureKind::file_identity:
      return size >= sizeof(FileIdentity) ? sizeof(FileIdentity) / sizeof(std::uint64_t) : 0;
    default:
      return 0;
  }
}

Column literal_column(CaptureKind kind) {
  switch (kind) {
    case CaptureKind::path:
    case CaptureKind::text:
    case CaptureKind::argv:
    case CaptureKind::envp:
    case CaptureKind::file_identity:
    case CaptureKind::absolute_path:
      return column_strings;
    default:
      return column_bytes;
  }
}

void BlockEncoder::Stream::varint(std::uint64_t value) {
  std::uint8_t* at = room(10);
  std::size_t length = 0;
  while (value >= 0x80) {
    at[length++] = static_cast<std::uint8_t>(value | 0x80U);
    value >>= 7U;
  }
  at[length++] = static_cast<std::uint8_t>(value);
  used += length;
}

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
  for (Stream& column : columns_) column.bytes.resize(max_block_events);
}

bool BlockEncoder::begin() {
  for (Stream& column : columns_) column.used = 0;
  events_ = 0;
  fresh_ = fresh_ || literals_.full() || shapes_.full() || contexts_.full();
  if (fresh_) {
    shapes_.clear();
    contexts_.clear();
    literals_.clear();
    structures_.clear();
    predictor_.clear();
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
                "it has more than 64 captures", "report this as a defect of the recorder");
  std::array<char, shape_head_bytes + max_captures * shape_capture_bytes> shape;
  char* at = shape.data();
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
  std::string_view shape_view(shape.data(), static_cast<std::size_t>(at - shape.data()));
  const std::int32_t context[6] = {event.pid,
                                   event.tid,
                                   event.inside_pid,
                                   event.inside_tid,
                                   static_cast<std::int32_t>(event.origin_call),
                                   static_cast<std::int32_t>(event.active_call)};
  std::string_view context_view(reinterpret_cast<const char*>(context), sizeof(context));

  bool added = false;
  // A full table makes the next block start afresh; it has room for a whole block beyond that.
  std::uint32_t index = shapes_.find_or_add(shape_view, added);
  columns_[column_shape].varint(index == StringTable::none ? 0 : index + 1);
  if (index == StringTable::none) add_definition(shape_view);
  index = contexts_.find_or_add(context_view, added);
  columns_[column_context].varint(index == StringTable::none ? 0 : index + 1);
  if (index == StringTable::none) add_definition(context_view);

  columns_[column_time].zigzag(difference(event.time_ns, predictor_.expected_time(event.tid)));
  columns_[column_duration].varint(event.duration_ns);

  Predictor::Expected& expected = predictor_.expect(event.tid, event.number);
  std::size_t count = stored_arguments(event.kind, event.abi, event.number);
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
  *columns_[column_mask].room(1) = mask;
  ++columns_[column_mask].used;
  for (const Capture& capture : event.captures) add_capture(event, capture);
  ++events_;
  return ok();
}

void BlockEncoder::add_capture(const Event& event, const Capture& capture) {
  std::string_view bytes = capture.bytes.substr(0, max_capture_bytes);
  Stream& codes = columns_[column_capture];
  std::uint32_t index = StringTable::none;
  bool added = false;
  if (bytes.size() <= max_kept_literal_bytes) index = literals_.find_or_add(bytes, added);
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
      std::uint64_t value = load64(bytes.data() + i * sizeof(value));
      if (value == last[i]) continue;
      changed |= std::uint64_t{1} << i;
      columns_[column_words].zigzag(difference(value, last[i]));
      last[i] = value;
    }
    columns_[column_words_changed].varint(changed);
  }
  columns_[literal_column(capture.kind)].append(bytes.substr(words * sizeof(std::uint64_t)));
}

std::size_t BlockEncoder::raw_bytes() const {
  std::size_t sum = 0;
  for (const Stream& column : columns_) sum += column.used;
  return sum;
}

const std::vector<std::uint8_t>& BlockEncoder::finish() {
  Stream sizes;
  for (const Stream& column : columns_) sizes.varint(column.used);
  payload_.clear();
  payload_.reserve(raw_bytes() + sizes.used);
  payload_.insert(payload_.end(), sizes.bytes.begin(),
                  sizes.bytes.begin() + static_cast<std::ptrdiff_t>(sizes.used));
  for (const Stream& column : columns_)
    payload_.insert(payload_.end(), column.bytes.begin(),
                    column.bytes.begin() + static_cast<std::ptrdiff_t>(column.used));
  return payload_;
}

BlockDecoder::BlockDecoder() = default;

bool BlockDecoder::Cursor::varint(std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at == end) return false;
    std::uint8_t byte = *at++;
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool BlockDecoder::Cursor::zigzag(std::int64_t& value) {
  std::uint64_t raw = 0;
  if (!varint(raw)) return false;
  value = static_cast<std::int64_t>((raw >> 1U) ^ (~(raw & 1U) + 1));
  return true;
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
  for (std::uint64_t& size : sizes)
    if (!head.varint(size)) return false;
  for (std::size_t i = 0; i < column_count; ++i) {
    if (static_cast<std::uint64_t>(head.end - head.at) < sizes[i]) return false;
    columns_[i] = {head.at, head.at + sizes[i]};
    head.at += sizes[i];
  }
  return head.at == head.end;
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
  if (count > max_captures || at(0) < 1 ||
      at(0) > static_cast<std::uint8_t>(EventKind::recorder_wait) ||
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
  shape.captures = bytes.substr(shape_head_bytes);
  Capture capture;
  for (std::size_t i = 0; i < shape.captures.size(); i += shape_capture_bytes)
    if (!parse_capture(std::string_view(shape.captures).substr(i), capture)) return false;
  return true;
}

bool BlockDecoder::parse_capture(std::string_view bytes, Capture& capture) {
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
  std::string& bytes = rebuilt_.emplace_back();
  bytes.reserve(size);
  for (std::size_t i = 0; i < words; ++i) {
    std::int64_t delta = 0;
    if ((changed >> i & 1U) != 0 && !columns_[column_words].zigzag(delta)) return false;
    last[i] += static_cast<std::uint64_t>(delta);
    bytes.append(reinterpret_cast<const char*>(&last[i]), sizeof(last[i]));
  }
  bytes += rest;
  capture.bytes = bytes;
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
      capture.bytes = literals_.emplace_back(capture.bytes);
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
  if (!columns_[column_time].zigzag(delta) || !columns_[column_duration].varint(event.duration_ns))
    return false;
  event.time_ns = predictor_.expected_time(event.tid) + static_cast<std::uint64_t>(delta);

  std::string_view mask_byte;
  if (!columns_[column_mask].take(1, mask_byte)) return false;
  auto mask = static_cast<std::uint8_t>(mask_byte[0]);
  if (mask > 0x7F) return false;
  Predictor::Expected& expected = predictor_.expect(event.tid, event.number);
  for (std::size_t i = 0; i < 6; ++i)
    if ((mask >> i & 1U) != 0) {
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
  std::size_t count = stored_arguments(event.kind, event.abi, event.number);
  for (std::size_t i = count; i < event.args.size(); ++i) event.args[i] = 0;
  event.result = expected.result;
  rebuilt_.clear();
  captures_.resize(shape->captures.size() / shape_capture_bytes);
  for (std::size_t i = 0; i < captures_.size(); ++i) {
    std::string_view bytes(shape->captures);
    if (!parse_capture(bytes.substr(i * shape_capture_bytes), captures_[i]) ||
        !read_capture(event, captures_[i]))
      return false;
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
  return ok();
}

}  // namespace gyges::recorder
