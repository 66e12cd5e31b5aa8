#include "agent_runtime/gateway/conversation_log.h"

#include <algorithm>

#include "agent_runtime/gateway/script_behind_wire.h"
#include "agent_runtime/scaffold/tool_host.h"
#include "base/hash.h"

namespace gyges::gateway {
namespace {

using model::Message;
using model::Role;

// What stays the same when an agent sends a message again: not its marks for caches, nor
// signatures.
std::string hash_of(const Message& message) {
  std::string text = std::string(model::role_name(message.role)) + '\0';
  for (const auto& part : message.content) text += part.text + '\0' + part.data + '\0';
  return to_hex(sha256(text));
}

bool counts(const Message& message) {
  return message.role == Role::user || message.role == Role::tool;
}

}  // namespace

Result<std::uint32_t> ConversationLog::take_request(const model::ModelRequest& request,
                                                    std::uint64_t now_ns,
                                                    const ResultHooks& hooks) {
  std::vector<std::string> said;
  for (const auto& message : request.messages)
    if (counts(message)) said.push_back(hash_of(message));
  // The longest that the request begins with; of equals the latest.
  std::size_t best = threads_.size();
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    const auto& known = threads_[i].said;
    if (known.empty() || known.size() > said.size() ||
        !std::equal(known.begin(), known.end(), said.begin()))
      continue;
    if (best == threads_.size() || known.size() >= threads_[best].said.size()) best = i;
  }
  std::size_t known = 0;
  if (best < threads_.size()) {
    known = threads_[best].said.size();
  } else {
    if (threads_.size() == most_threads)
      return fail("write transcript", "", "the agent holds too many conversations");
    threads_.emplace_back();
  }
  Thread& thread = threads_[best];
  auto number = static_cast<std::uint32_t>(best + 1);
  std::size_t seen = 0;
  for (const auto& message : request.messages) {
    if (message.role == Role::system) {
      std::string hash = hash_of(message);
      if (seen < known || hash == thread.system) continue;
      thread.system = std::move(hash);
    } else if (counts(message)) {
      if (seen++ < known) continue;
    } else if (seen < known || known > 0) {
      continue;  // a reply of ours, which stands there already
    }
    GYGES_CHECK(write_new(thread, number, message, now_ns, hooks));
  }
  thread.said = std::move(said);
  return number;
}

Status ConversationLog::write_new(Thread& thread, std::uint32_t number, const Message& message,
                                  std::uint64_t now_ns, const ResultHooks& hooks) {
  if (message.role == Role::tool) return take_result(thread, message, now_ns, number, hooks);
  if (message.role != Role::assistant) return transcript_.message(turns_, message, nullptr, number);
  // Words that the agent puts into the model's mouth, or a history of another thread: calls in it
  // are not made anew.
  Message repeated = message;
  for (auto& call : repeated.tool_calls) {
    auto found = call_of_id_.find(call.id);
    if (found != call_of_id_.end()) call.call = found->second;
  }
  std::erase_if(repeated.tool_calls, [](const auto& call) { return call.call == 0; });
  return transcript_.message(turns_, repeated, nullptr, number);
}

Status ConversationLog::take_result(Thread& thread, Message message, std::uint64_t now_ns,
                                    std::uint32_t number, const ResultHooks& hooks) {
  if (auto found = call_of_id_.find(message.tool_call_id); found != call_of_id_.end())
    message.call = found->second;
  else if (thread.answered < thread.open.size())  // wire formats without ids keep the order
    message.call = thread.open[thread.answered];
  ++thread.answered;
  GYGES_CHECK(transcript_.message(turns_, message, nullptr, number));
  if (message.call == 0) return ok();
  WireCall& call = calls_[message.call - 1];
  if (call.answered_ns != 0) return ok();
  call.answered_ns = now_ns;
  if (hooks.ended) hooks.ended(call.call);
  tools::ToolResult result;
  result.output = model::text_of(message);
  if (message.tool_failed)
    result.error = tools::ToolError{"tool", "the agent reported that the call failed"};
  result.output_total = result.output.size();
  GYGES_CHECK(
      transcript_.tool_executed(call.call, now_ns - std::min(now_ns, call.requested_ns), result));
  return hooks.executed ? hooks.executed(call.call, result.output.size()) : ok();
}

Status ConversationLog::take_reply(std::uint32_t number, model::Reply& reply) {
  Thread& thread = threads_.at(number - 1);
  thread.open.clear();
  thread.answered = 0;
  ++turns_;
  for (auto& call : reply.message.tool_calls) {
    call.call = next_call();
    if (!call.id.empty()) call_of_id_[call.id] = call.call;
    thread.open.push_back(call.call);
  }
  if (reply.message.tool_calls.empty()) last_words_ = model::text_of(reply.message);
  return transcript_.message(turns_, reply.message, &reply, number);
}

std::uint32_t ConversationLog::next_call() {
  calls_.emplace_back();
  return calls_.back().call = static_cast<std::uint32_t>(calls_.size());
}

const WireCall& ConversationLog::handed_on(const model::ToolCall& call, std::uint64_t now_ns) {
  WireCall& known = calls_.at(call.call - 1);
  known.commands = commands_in(call, shell_);
  if (const auto* server = scaffold::server_of(call.name, call.space, servers_)) {
    known.server = server->name;
    // Only those that are reached here are known for what they do.
    std::string name = scaffold::name_on_the_wire(call.name, call.space);
    known.for_people =
        server->command.empty() && scaffold::is_for_people(name.substr(server->wire_prefix.size()));
  }
  known.requested_ns = now_ns;
  return known;
}

Status ConversationLog::carried_out(std::uint32_t call, std::uint64_t now_ns,
                                    std::uint64_t duration_ns, const tools::ToolResult& result) {
  calls_.at(call - 1).answered_ns = now_ns;
  return transcript_.tool_executed(call, duration_ns, result);
}

Status ConversationLog::refused(std::uint32_t number, const Message& result) {
  std::erase(threads_.at(number - 1).open, result.call);
  return transcript_.message(turns_, result, nullptr, number);
}

}  // namespace gyges::gateway
