#include "agent_runtime/monitor/observation.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/structure_text.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::monitor {
namespace {

using episode::Moment;
using nlohmann::json;
using recorder::Capture;
using recorder::CaptureKind;
using recorder::Event;
using recorder::EventKind;

constexpr std::size_t kept_text = 1U << 16U;
constexpr std::size_t most_events = 200'000;  // between two marks; the rest is left to the trace

std::string text_of(const json& object, const char* name) {
  auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>().substr(0, kept_text) : "";
}

std::vector<std::string> strings_of(const Event& event, CaptureKind kind) {
  for (const Capture& capture : event.captures) {
    if (capture.kind != kind) continue;
    std::vector<std::string> strings = split(capture.bytes, '\0');
    if (!strings.empty() && strings.back().empty()) strings.pop_back();
    return strings;
  }
  return {};
}

std::string address_of(const Event& event) {
  for (const Capture& capture : event.captures)
    if (capture.kind == CaptureKind::sockaddr_in)
      return recorder::sockaddr_short_text(capture.bytes);
  return {};
}

bool is_network(std::string_view name) {
  return name == "connect" || name == "sendto" || name == "sendmsg" || name == "sendmmsg" ||
         name == "bind";
}

// Nothing to a monitor: nullopt.
std::optional<SeenEvent> seen(const Event& event,
                              const std::vector<recorder::ResolvedPath>& paths) {
  if (event.kind != EventKind::syscall) return std::nullopt;
  const recorder::SyscallSpec* spec = recorder::find_syscall(event.abi, event.number);
  SeenEvent one;
  one.name = spec != nullptr ? std::string(spec->name) : "syscall_" + std::to_string(event.number);
  one.sequence = event.sequence;
  one.call = recorder::tool_call_of(event);
  one.refused =
      event.verdict == recorder::Verdict::refused || event.verdict == recorder::Verdict::killed;
  one.succeeded = event.verdict == recorder::Verdict::allowed && event.result >= 0;
  bool changes = false;
  for (const auto& path : paths) {
    one.paths.push_back(valid_utf8(path.path));
    changes = changes || (path.mutation && one.succeeded);
  }
  if (one.name == "execve" || one.name == "execveat") {
    one.kind = SeenEvent::Kind::exec;
    for (auto& word : strings_of(event, CaptureKind::argv)) one.argv.push_back(valid_utf8(word));
  } else if (is_network(one.name)) {
    one.address = address_of(event);
    if (one.address.empty()) return std::nullopt;
    one.kind = SeenEvent::Kind::network;
  } else if (one.refused) {
    one.kind = SeenEvent::Kind::refused;
  } else if (changes) {
    one.kind = SeenEvent::Kind::change;
  } else if (one.name.starts_with("open") && !one.paths.empty()) {
    one.kind = SeenEvent::Kind::open;
  } else if (one.name == "ptrace" || one.name == "kill" || one.name == "tgkill" ||
             one.name == "setsid" || one.name == "unshare" || one.name == "mount") {
    one.kind = SeenEvent::Kind::other;
  } else {
    return std::nullopt;
  }
  return one;
}

}  // namespace

const char* moment_name(Moment moment) {
  return moment == Moment::before ? "before" : moment == Moment::after ? "after" : "end";
}

EventSource::EventSource(std::filesystem::path trace)
    : trace_(std::move(trace)), paths_(std::make_unique<recorder::PathResolver>()) {}
EventSource::~EventSource() = default;

Status EventSource::read() {
  std::error_code ignored;
  if (!reader_) {
    if (!std::filesystem::exists(trace_, ignored)) return ok();
    GYGES_TRY(recorder::TraceReader reader, recorder::TraceReader::open(trace_));
    reader_ = std::make_unique<recorder::TraceReader>(std::move(reader));
  } else {
    GYGES_TRY([[maybe_unused]] bool more, reader_->refresh());
  }
  return reader_->for_each_new([&](const Event& event) {
    // Every event, because forks and execs move working directories and descriptors.
    std::vector<recorder::ResolvedPath> paths = paths_->paths_of(event);
    if (event.kind == EventKind::tool_call_end) {
      items_.push_back({event.active_call, {}});
      since_mark_ = 0;
    } else if (since_mark_ < most_events) {
      auto one = seen(event, paths);
      if (!one) return true;
      items_.push_back({0, std::move(*one)});
      ++since_mark_;
    }
    return true;
  });
}

Result<std::vector<SeenEvent>> EventSource::up_to(std::optional<std::uint32_t> call) {
  GYGES_CHECK(read());
  std::vector<SeenEvent> events;
  std::error_code ignored;
  if (!reader_) return events;
  // Of calls that run side by side, one can end before another that is asked for first.
  if (call && passed_.contains(*call)) return events;
  while (!items_.empty()) {
    Item item = std::move(items_.front());
    items_.pop_front();
    if (item.end_of == 0) {
      events.push_back(std::move(item.event));
    } else if (call && item.end_of == *call) {
      return events;
    } else {
      passed_.insert(item.end_of);
    }
  }
  if (call)
    return fail("read trace", trace_.string(),
                "it holds no end of tool call " + std::to_string(*call),
                "the recorder was lost; see the run's coverage");
  return events;
}

SeenCall& Observation::at(std::uint32_t call) {
  // Nearly always the latest.
  auto found = std::find_if(calls_.rbegin(), calls_.rend(),
                            [&](const SeenCall& one) { return one.call == call; });
  if (found != calls_.rend()) return *found;
  calls_.emplace_back();
  calls_.back().call = call;
  return calls_.back();
}

void Observation::take(const json& line) {
  std::string type = text_of(line, "type");
  if (type == "message") {
    std::string role = text_of(line, "role");
    std::string text;
    for (const auto& part : line.value("content", json::array()))
      text += text_of(part, "text") + "\n";
    if (role == "assistant") rationale_ = text;
    if (role == "system" || role == "user") task_ += text;
  } else if (type == "tool_requested") {
    SeenCall& call = at(line.value("call", 0U));
    call.tool = text_of(line, "name");
    if (line.contains("arguments"))
      call.arguments = line.at("arguments").dump(-1, ' ', false, json::error_handler_t::replace);
    call.rationale = rationale_;
  } else if (type == "tool_decided") {
    at(line.value("call", 0U)).decision = text_of(line, "decision");
  } else if (type == "tool_executed") {
    SeenCall& call = at(line.value("call", 0U));
    call.executed = true;
    call.output = text_of(line, "output");
    call.exit_code = line.value("exit_code", 0);
  } else if (type == "end") {
    report_ = text_of(line, "report");
  }
}

std::optional<std::pair<Moment, std::uint32_t>> Observation::moment_of(const json& line) {
  std::string type = text_of(line, "type");
  if (type == "tool_requested") return std::pair(Moment::before, line.value("call", 0U));
  if (type == "tool_executed") return std::pair(Moment::after, line.value("call", 0U));
  if (type == "end") return std::pair(Moment::end, 0U);
  return std::nullopt;
}

Result<Scene> Observation::scene(Moment moment, std::uint32_t call) {
  Scene scene;
  scene.moment = moment;
  scene.call = call;
  scene.task = task_;
  if (moment == Moment::before) {
    scene.current = &at(call);
    return scene;
  }
  if (moment == Moment::after) {
    if (flush_) GYGES_CHECK(flush_());
    scene.current = &at(call);
    GYGES_TRY(scene.events, events_.up_to(call));
  } else {
    scene.report = report_;
    GYGES_TRY(scene.events, events_.up_to(std::nullopt));
  }
  return scene;
}

}  // namespace gyges::monitor
