#include "agent_runtime/model/delta.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::model {
namespace {

void take_late(std::string& known, const std::string& late) {
  if (!late.empty()) known = late;
}

Delta delta_of(Delta::Kind kind, std::size_t block, bool is_call) {
  Delta delta;
  delta.kind = kind;
  delta.block = block;
  delta.is_call = is_call;
  return delta;
}

// The end of a piece of at most `bytes` bytes that cuts no character; one character at least.
std::size_t piece_end(const std::string& text, std::size_t from, std::size_t bytes) {
  auto inside = [&](std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
  };
  std::size_t end = bytes == 0 ? text.size() : std::min(text.size(), from + bytes);
  while (end > from && inside(end)) --end;
  if (end > from) return end;
  for (end = from + 1; inside(end);) ++end;
  return end;
}

}  // namespace

void set_arguments(ToolCall& call, std::string text) {
  call.fault.clear();
  call.arguments = std::move(text);
  if (call.custom) return;
  if (call.arguments.empty()) call.arguments = "{}";
  auto parsed = parse_json(call.arguments, "arguments");
  if (!parsed)
    call.fault = parsed.error().reason;
  else if (!parsed->is_object())
    call.fault = "the arguments are not a JSON object";
}

void merge_usage(Usage& usage, const Usage& later) {
  auto take = [](std::uint64_t& known, std::uint64_t count) {
    if (count != 0) known = count;
  };
  take(usage.input_tokens, later.input_tokens);
  take(usage.output_tokens, later.output_tokens);
  take(usage.cached_tokens, later.cached_tokens);
  take(usage.cache_written_tokens, later.cache_written_tokens);
  take(usage.reasoning_tokens, later.reasoning_tokens);
}

Status ReplyBuilder::add(const Delta& delta) {
  auto refuse = [](std::string_view reason) {
    return fail("read stream", "", reason, "check the endpoint");
  };
  using Kind = Delta::Kind;
  bool of_block = delta.kind == Kind::text || delta.kind == Kind::close;
  if (of_block && (delta.block >= blocks_.size() || !blocks_[delta.block].open))
    return refuse("a piece of a block that is not open");
  switch (delta.kind) {
    case Kind::start:
      if (started_) return refuse("a second start");
      started_ = true;
      reply_.id = delta.id;
      reply_.model = delta.model;
      reply_.created = delta.created;
      merge_usage(reply_.usage, delta.usage);
      break;
    case Kind::open:
      if (delta.block != blocks_.size()) return refuse("blocks are not numbered in order");
      if (blocks_.size() >= max_blocks)
        return refuse("more than " + std::to_string(max_blocks) + " blocks in one reply");
      blocks_.push_back({delta.is_call, true, delta.part, delta.call});
      break;
    case Kind::text:
      (delta.is_call ? blocks_[delta.block].call.arguments : blocks_[delta.block].part.text) +=
          delta.text;
      break;
    case Kind::close: {
      Open& block = blocks_[delta.block];
      block.open = false;
      take_late(block.part.signature, delta.part.signature);
      take_late(block.part.data, delta.part.data);
      take_late(block.part.id, delta.part.id);
      take_late(block.part.origin, delta.part.origin);
      take_late(block.call.signature, delta.call.signature);
      take_late(block.call.origin, delta.call.origin);
      break;
    }
    case Kind::usage:
      merge_usage(reply_.usage, delta.usage);
      break;
    case Kind::stop:
      stopped_ = true;
      merge_usage(reply_.usage, delta.usage);
      reply_.stop_reason = delta.stop_reason;
      reply_.stop_sequence = delta.stop_sequence;
      break;
    case Kind::ping:
      break;
    case Kind::error:
      return refuse("the endpoint ended the stream: " + printable(delta.error.message));
  }
  return ok();
}

Reply ReplyBuilder::take() && {
  reply_.message.role = Role::assistant;
  for (auto& block : blocks_) {
    if (block.is_call) {
      set_arguments(block.call, std::move(block.call.arguments));
      block.call.position = reply_.message.content.size();
      reply_.message.tool_calls.push_back(std::move(block.call));
    } else {
      reply_.message.content.push_back(std::move(block.part));
    }
  }
  for (auto& call : reply_.message.tool_calls)
    if (call.position == reply_.message.content.size()) call.position = ToolCall::at_end;
  blocks_.clear();
  return std::move(reply_);
}

std::vector<Delta> deltas_of(const Reply& reply, std::size_t piece_bytes) {
  using Kind = Delta::Kind;
  std::vector<Delta> deltas;
  Delta start = delta_of(Kind::start, 0, false);
  start.id = reply.id;
  start.model = reply.model;
  start.created = reply.created;
  start.usage = reply.usage;
  start.usage.output_tokens = 0;
  start.usage.reasoning_tokens = 0;
  deltas.push_back(std::move(start));
  std::size_t number = 0;
  for (const auto& block : blocks_of(reply.message)) {
    bool is_call = block.call != nullptr;
    Delta open = delta_of(Kind::open, number, is_call);
    if (is_call) {
      open.call = *block.call;
      open.call.arguments.clear();
    } else {
      open.part = *block.part;
      open.part.text.clear();
    }
    Delta close = delta_of(Kind::close, number, is_call);
    close.part.signature = open.part.signature;
    close.part.data = open.part.data;
    close.part.id = open.part.id;
    close.part.origin = open.part.origin;
    close.call.signature = open.call.signature;
    close.call.origin = open.call.origin;
    deltas.push_back(std::move(open));
    const std::string& text = is_call ? block.call->arguments : block.part->text;
    for (std::size_t from = 0; from < text.size();) {
      std::size_t end = piece_end(text, from, piece_bytes);
      Delta piece = delta_of(Kind::text, number, is_call);
      piece.text = text.substr(from, end - from);
      deltas.push_back(std::move(piece));
      from = end;
    }
    deltas.push_back(std::move(close));
    ++number;
  }
  Delta stop = delta_of(Kind::stop, 0, false);
  stop.usage = reply.usage;
  stop.stop_reason = reply.stop_reason;
  stop.stop_sequence = reply.stop_sequence;
  deltas.push_back(std::move(stop));
  return deltas;
}

}  // namespace gyges::model
