#include "agent_runtime/gateway/streamed_answer.h"

#include <strings.h>

#include <algorithm>
#include <utility>

#include "agent_runtime/model/sse.h"

namespace gyges::gateway {
namespace {

using model::Delta;
using Kind = Delta::Kind;

bool of_block(const Delta& delta) {
  return delta.kind == Kind::open || delta.kind == Kind::text || delta.kind == Kind::close;
}

// From here on an agent could act, or be done.
bool decides(const Delta& delta) {
  if (delta.kind == Kind::stop) return true;
  return delta.kind == Kind::open &&
         (delta.is_call || delta.part.kind == model::Part::Kind::opaque);
}

// The fate of a block, if it has one. `blocks` is sorted.
const Fate* fate_of(std::size_t block, const std::vector<std::size_t>& blocks,
                    const std::vector<Fate>& fates) {
  auto found = std::lower_bound(blocks.begin(), blocks.end(), block);
  if (found == blocks.end() || *found != block) return nullptr;
  auto index = static_cast<std::size_t>(found - blocks.begin());
  return index < fates.size() ? &fates[index] : nullptr;
}

void add_refused(const std::vector<std::size_t>& blocks, const std::vector<Fate>& fates,
                 std::vector<std::size_t>& gone) {
  for (std::size_t i = 0; i < blocks.size() && i < fates.size(); ++i)
    if (fates[i].refused) gone.push_back(blocks[i]);
}

}  // namespace

StreamedAnswer::StreamedAnswer(const model::Dialect& dialect, const model::ModelRequest& asked,
                               bool array, Answer& answer, ExchangeRecord& record,
                               std::atomic<std::size_t>& open_bytes)
    : dialect_(dialect),
      array_(array),
      answer_(answer),
      record_(record),
      open_bytes_(open_bytes),
      writer_(dialect.stream_writer(asked)) {}

StreamedAnswer::~StreamedAnswer() {
  open_bytes_ -= counted_;
}

bool StreamedAnswer::count(std::size_t bytes) {
  counted_ += bytes;
  if ((open_bytes_ += bytes) <= most_open_bytes) return true;
  record_.fault = "the answers that are open hold more than is taken";
  return false;
}

bool StreamedAnswer::send_head(int status, model::HeaderList headers) {
  headed_ = true;
  record_.status = status;
  record_.streamed = true;
  return answer_.head({status, std::move(headers)});
}

bool StreamedAnswer::send(std::string_view bytes) {
  if (bytes.empty()) return true;
  if (!headed_ &&
      !send_head(200, {{"Content-Type", array_ && !passed_ ? "application/json; charset=UTF-8"
                                                           : "text/event-stream; charset=utf-8"},
                       {"Cache-Control", "no-cache"}}))
    return false;
  record_.answer_body += bytes;
  return answer_.body(bytes);
}

void StreamedAnswer::note(const Delta& delta) {
  begun_ = true;
  if (!of_block(delta)) return;
  blocks_ = std::max(blocks_, delta.block + 1);
  if (delta.kind != Kind::open) return;
  auto add = [&](std::vector<std::size_t>& blocks) {
    blocks.insert(std::upper_bound(blocks.begin(), blocks.end(), delta.block), delta.block);
  };
  if (delta.is_call)
    add(calls_);
  else if (delta.part.kind == model::Part::Kind::opaque)
    add(opaque_);
}

bool StreamedAnswer::put(Delta delta) {
  if (delta.kind == Kind::start && std::exchange(started_, true)) return true;
  if (of_block(delta)) delta.block += offset_;
  std::string bytes = writer_->write(delta);
  if (!array_) return send(bytes);
  std::vector<model::SseEvent> events;
  model::SseParser parser;
  if (!parser.feed(bytes, events)) return false;
  std::string elements;
  for (const auto& event : events) {
    elements += in_array_ ? ",\r\n" : "[";
    elements += event.data;
    in_array_ = true;
  }
  if (delta.kind == Kind::stop) elements += in_array_ ? "]" : "[]";
  return send(elements);
}

bool StreamedAnswer::take(const Delta& delta) {
  if (delta.kind == Kind::error) return true;  // said by whoever asked
  note(delta);
  if (!count(delta.text.size() + sizeof(Delta))) return false;
  if (delta.kind == Kind::ping) return put(delta);
  holding_ = holding_ || decides(delta);
  if (!holding_) return put(delta);
  held_.push_back({{}, {delta}});
  return true;
}

bool StreamedAnswer::pass(const model::PassThrough& raw, std::string_view bytes,
                          const std::vector<Delta>& deltas) {
  passed_ = true;
  if (!headed_) {
    model::HeaderList headers = raw.answer_headers;
    bool typed = std::any_of(headers.begin(), headers.end(), [](const auto& field) {
      return ::strcasecmp(field.first.c_str(), "content-type") == 0;
    });
    if (!typed) headers.emplace_back("Content-Type", "text/event-stream");
    headers.emplace_back("Cache-Control", "no-cache");
    if (!send_head(raw.status != 0 ? raw.status : 200, std::move(headers))) return false;
  }
  if (!count(bytes.size())) return false;
  bool pings = !deltas.empty();
  for (const Delta& delta : deltas) {
    note(delta);
    holding_ = holding_ || decides(delta);
    pings = pings && delta.kind == Kind::ping;
  }
  if (!holding_ || pings) return send(bytes);
  held_.push_back({std::string(bytes), {}});
  return true;
}

bool StreamedAnswer::put_held(const Delta& delta, const Review& review, bool more) {
  if (delta.kind == Kind::stop && more) return true;
  if (!of_block(delta)) return put(delta);
  const Fate* fate = delta.is_call ? fate_of(delta.block, calls_, review.calls)
                                   : fate_of(delta.block, opaque_, review.opaque);
  if (fate != nullptr && fate->refused) return true;
  Delta kept = delta;
  kept.block -= static_cast<std::size_t>(std::lower_bound(gone_.begin(), gone_.end(), delta.block) -
                                         gone_.begin());
  if (fate == nullptr || !fate->arguments || delta.kind == Kind::open) return put(std::move(kept));
  if (delta.kind == Kind::text) return true;
  Delta arguments;
  arguments.kind = Kind::text;
  arguments.block = kept.block;
  arguments.is_call = true;
  arguments.text = *fate->arguments;
  return put(std::move(arguments)) && put(std::move(kept));
}

bool StreamedAnswer::release(const Review& review, bool more) {
  gone_.clear();
  add_refused(calls_, review.calls, gone_);
  add_refused(opaque_, review.opaque, gone_);
  std::sort(gone_.begin(), gone_.end());
  for (const Held& held : std::exchange(held_, {})) {
    if (passed_ && !send(held.bytes)) return false;
    for (const Delta& delta : held.deltas)
      if (!put_held(delta, review, more)) return false;
  }
  next_reply(gone_.size());
  return true;
}

bool StreamedAnswer::write(const model::Reply& reply, std::size_t piece_bytes, bool more) {
  for (const Delta& delta : model::deltas_of(reply, piece_bytes)) {
    if (delta.kind == Kind::stop && more) break;
    if (of_block(delta)) blocks_ = std::max(blocks_, delta.block + 1);
    if (!put(delta)) return false;
  }
  next_reply(0);
  return true;
}

void StreamedAnswer::next_reply(std::size_t gone) {
  offset_ += blocks_ - std::min(blocks_, gone);
  blocks_ = 0;
  calls_.clear();
  opaque_.clear();
  holding_ = begun_ = false;
}

}  // namespace gyges::gateway
