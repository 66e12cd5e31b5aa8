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
    : used_columns_(version >= foreseeing_version    ? column_count
                    : version >= split_times_version ? lanes_column_count
                                                     : old_column_count),
      has_lanes_(version >= word_lanes_version),
      foresees_(version >= foreseeing_version) {}

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

bool BlockDecoder::begin_times(std::uint32_t events) {
  if (!foresees_) return true;
  TimeColumnsDecoder::Columns columns{
      columns_[column_clock],
      columns_[column_beside],
      {columns_[column_time_low], columns_[column_time_high], columns_[column_duration_low],
       columns_[column_duration_high]}};
  // Whether all of them is used, they look after themselves.
  for (const std::size_t column :
       {std::size_t{column_clock}, std::size_t{column_beside}, std::size_t{column_time_low},
        std::size_t{column_time_high}, std::size_t{column_duration_low},
        std::size_t{column_duration_high}})
    columns_[column] = {};
  return times_.begin(columns, events);
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

const BlockDecoder::Shape* BlockDecoder::read_shape(std::uint32_t next, bool& foreseen,
                                                    std::uint32_t& index) {
  std::uint64_t code = 0;
  if (!columns_[column_shape].varint(code)) return nullptr;
  if (code == shape_new) {
    foreseen = false;
    std::string_view bytes;
    Shape shape;
    if (shapes_.size() >= max_read_entries || !define(bytes) || !parse_shape(bytes, shape))
      return nullptr;
    index = static_cast<std::uint32_t>(shapes_.size());
    return &shapes_.emplace_back(std::move(shape));
  }
  if (!foresees_) {
    code -= 1;
  } else if (code != shape_foreseen) {
    code -= first_shape;
    foreseen = foreseen && code == next;
  } else {
    if (!foreseen) return nullptr;
    code = next;
  }
  if (code >= shapes_.size()) return nullptr;
  index = static_cast<std::uint32_t>(code);
  return &shapes_[code];
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

bool BlockDecoder::read_times(Event& event, std::uint32_t shape) {
  const std::uint64_t expected = predictor_.expected_time(event.tid);
  if (foresees_) return times_.read(shape, expected, event.time_ns, event.duration_ns);
  std::uint64_t time = 0;
  if (used_columns_ != old_column_count) {
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
  event.time_ns = expected + static_cast<std::uint64_t>(of_zigzag(time));
  return true;
}

// Arguments and result.
bool BlockDecoder::read_numbers(Event& event, const Shape& shape, const Succession* next,
                                Succession& now) {
  std::uint8_t mask = 0;
  if (!columns_[column_mask].byte(mask) || mask > 0x7F) return false;
  Predictor::Expected& expected = predictor_.expect(event.tid, event.number);
  std::array<std::uint64_t, 6> steps{};
  if (next != nullptr)
    for (std::size_t i = 0; i < Succession::result_step; ++i) steps[i] = next->steps[i];
  std::int64_t delta = 0;
  for (unsigned left = mask & 0x3FU; left != 0; left &= left - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(left));
    if (!columns_[column_argument + i].zigzag(delta)) return false;
    steps[i] += static_cast<std::uint64_t>(delta);
  }
  std::uint64_t result_step = next != nullptr ? next->steps[Succession::result_step] : 0;
  if ((mask & mask_result) != 0) {
    if (!columns_[column_result].zigzag(delta)) return false;
    result_step += static_cast<std::uint64_t>(delta);
  }
  std::copy_n(steps.begin(), Succession::result_step, now.steps.begin());
  now.steps[Succession::result_step] = result_step;
  for (std::size_t i = 0; i < steps.size(); ++i) expected.args[i] += steps[i];
  expected.result =
      static_cast<std::int64_t>(static_cast<std::uint64_t>(expected.result) + result_step);
  predictor_.learn(event.tid, event.number, expected, event.time_ns, event.duration_ns);
  event.args = expected.args;
  for (std::size_t i = shape.arguments; i < event.args.size(); ++i) event.args[i] = 0;
  event.result = expected.result;
  return true;
}

bool BlockDecoder::read_event(Event& event) {
  // Whose trail it is tells the context; older formats have none, and the shape first.
  Succession now;
  Succession next;
  bool foreseen = false;
  const Shape* shape = foresees_ ? nullptr : read_shape(0, foreseen, now.shape);
  const Context* context = read_context();
  if (context == nullptr || (!foresees_ && shape == nullptr)) return false;
  event.pid = context->pid;
  event.tid = context->tid;
  event.inside_pid = context->inside_pid;
  event.inside_tid = context->inside_tid;
  event.origin_call = context->origin_call;
  event.active_call = context->active_call;
  Trail& trail = predictor_.trail(event.tid);
  const std::uint32_t here = trail.number();
  if (foresees_) {
    foreseen = successions_.find(here, next);
    shape = read_shape(next.shape, foreseen, now.shape);
    if (shape == nullptr) return false;
  }
  event.kind = shape->kind;
  event.abi = shape->abi;
  event.verdict = shape->verdict;
  event.has_enter = shape->has_enter;
  event.has_exit = shape->has_exit;
  event.number = shape->number;
  if (!read_times(event, now.shape) ||
      !read_numbers(event, *shape, foreseen ? &next : nullptr, now))
    return false;
  rebuilt_.clear();
  captures_.resize(shape->captures.size());
  std::uint32_t event_trail = trail_of_shape(now.shape);
  now.literals = {no_literal, no_literal, no_literal};
  for (std::size_t i = 0; i < captures_.size(); ++i) {
    const CaptureShape& known = shape->captures[i];
    Capture& capture = captures_[i];
    capture.argument = known.argument;
    capture.kind = known.kind;
    capture.provenance = known.provenance;
    capture.truncated = known.truncated;
    const bool kept = i < Succession::kept_literals;
    std::uint32_t literal = kept && foreseen ? next.literals[i] : no_literal;
    if (!read_capture(event, capture, literal)) return false;
    if (kept) now.literals[i] = literal;
    event_trail = trail_with_literal(event_trail, literal);
  }
  if (foresees_) {
    if (!foreseen || now != next) successions_.put(here, now);
    trail.add(event_trail);
    successions_.prefetch(trail.number());
  }
  event.captures = captures_;
  return true;
}

Status BlockDecoder::decode(std::string_view payload, std::uint32_t events, bool fresh,
                            std::uint64_t first_sequence,
                            const std::function<bool(const Event&)>& visit, bool& stopped) {
  stopped = false;
  prefix_bytes_ = 0;
  if (fresh) {
    shapes_.clear();
    contexts_.clear();
    literals_.clear();
    kept_.clear();
    literal_bytes_ = 0;
    structures_.clear();
    successions_.clear();
    for (std::string& last : last_strings_) last.clear();
    last_literal_ = 0;
    predictor_.clear();
  }
  if (!split_columns(payload) || !begin_times(events))
    return fail("unpack trace block", "", "its columns do not add up");
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
  if (foresees_ && !times_.at_end())
    return fail("unpack trace block", "", "it holds more times than its events");
  for (const Cursor& lane : lanes_)
    if (lane.at != lane.end)
      return fail("unpack trace block", "", "it holds more words than its events");
  return ok();
}

}  // namespace gyges::recorder
