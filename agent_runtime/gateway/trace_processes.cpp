#include "agent_runtime/gateway/trace_processes.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/recorder/format/execution.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::gateway {
namespace {

using nlohmann::json;
using recorder::Event;
using recorder::EventKind;

constexpr std::size_t most_lines = 20'000;
constexpr std::size_t longest_argument = 4096;
constexpr std::size_t most_arguments = 64;

json arguments_of(const Execution& execution) {
  json list = json::array();
  for (const auto& argument : execution.argv)
    if (list.size() < most_arguments)
      list.push_back(valid_utf8(std::string_view(argument).substr(0, longest_argument)));
  return list;
}

class Lines {
 public:
  explicit Lines(UniqueFd file) : file_(std::move(file)) {}
  Status add(json line) {
    if (++count_ > most_lines) return ok();
    line["$schema"] = "gyges/processes.schema.json";
    return write_all(file_.get(), line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  }
  [[nodiscard]] bool cut() const { return count_ > most_lines; }

 private:
  UniqueFd file_;
  std::size_t count_ = 0;
};

}  // namespace

std::uint32_t ProcessTree::index_of(std::int32_t pid) {
  if (auto found = current_.find(pid); found != current_.end()) return found->second;
  if (processes_.size() >= most_processes) {
    complete_ = false;
    return agent;
  }
  processes_.push_back({});
  return current_[pid] = static_cast<std::uint32_t>(processes_.size() - 1);
}

void ProcessTree::take(const Event& event) {
  if (event.pid <= 0) return;
  std::uint32_t index = index_of(event.pid);
  if (event.inside_pid > 0) processes_[index].inside_pid = event.inside_pid;
  if (event.kind == EventKind::process_start && event.result > 0) {
    if ((event.args[0] & CLONE_THREAD) != 0) return;
    auto child = static_cast<std::int32_t>(event.result);
    auto known = current_.find(child);
    // Events of the child may come first. A number that comes round belongs to a new process.
    bool orphan = known != current_.end() && known->second != agent &&
                  processes_[known->second].parent < 0 && known->second > index;
    if (!orphan) {
      current_.erase(child);
      known = current_.find(child);
    }
    std::uint32_t made = index_of(child);
    if (made != agent) processes_[made].parent = index;
    return;
  }
  if (!recorder::is_execution(event)) return;
  if (executions_.size() >= most_executions) {
    complete_ = false;
    return;
  }
  recorder::ExecutedProgram program = recorder::execution_of(event);
  Execution execution;
  execution.process = index;
  execution.time_ns = event.time_ns;
  execution.argv = std::move(program.argv);
  execution.truncated = program.truncated;
  execution.label = event.origin_call;
  executions_.push_back(std::move(execution));
}

Result<JoinSummary> write_processes(const std::filesystem::path& bundle,
                                    const std::vector<WireCall>& calls,
                                    const std::vector<ServerProgram>& servers) {
  GYGES_TRY(recorder::TraceReader reader, recorder::TraceReader::open(bundle / "trace.gyt"));
  ProcessTree tree;
  GYGES_CHECK(reader.for_each([&](const Event& event) {
    tree.take(event);
    return true;
  }));
  Join join = join_calls(calls, tree.processes(), tree.executions(), ProcessTree::agent, servers);
  std::filesystem::path path = bundle / "processes.jsonl";
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return fail_errno("make file", path.string());
  Lines lines(std::move(file));
  JoinSummary summary;
  auto process_of = [&](std::size_t execution, json& line) {
    const Execution& found = tree.executions()[execution];
    line["time_ns"] = found.time_ns;
    line["pid"] = tree.processes()[found.process].inside_pid;
    line["argv"] = arguments_of(found);
  };
  for (const JoinedCall& joined : join.calls) {
    ++summary.commands;
    json line{{"type", joined.execution < 0 ? "not_found" : "call"}, {"call", joined.call}};
    if (joined.execution >= 0) {
      ++summary.found;
      process_of(static_cast<std::size_t>(joined.execution), line);
      line["processes"] = joined.processes;
      line["match"] = joined.served      ? "served"
                      : joined.by_server ? "server"
                      : joined.wrapped   ? "wrapped"
                                         : "exact";
    }
    if (joined.by_server || joined.served) line["server"] = calls[joined.call - 1].server;
    GYGES_CHECK(lines.add(std::move(line)));
  }
  for (const StartedServer& started : join.servers) {
    json line{{"type", "server"}, {"server", servers[started.server].name}};
    process_of(started.execution, line);
    GYGES_CHECK(lines.add(std::move(line)));
  }
  for (const Undeclared& undeclared : join.undeclared) {
    ++summary.undeclared;
    json line{
        {"type", "undeclared"}, {"during", undeclared.during}, {"processes", undeclared.processes}};
    process_of(undeclared.execution, line);
    GYGES_CHECK(lines.add(std::move(line)));
  }
  if (lines.cut() || !tree.complete())
    return fail("write processes.jsonl", "", "there are more processes than are listed",
                "read the trace itself");
  return summary;
}

}  // namespace gyges::gateway
