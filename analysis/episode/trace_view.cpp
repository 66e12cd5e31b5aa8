#include "analysis/episode/trace_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "analysis/episode/shown_text.h"
#include "analysis/features/feature.h"
#include "base/text.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/process_ends.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::analysis {
namespace {

using recorder::Event;
using recorder::EventKind;
using recorder::SyscallClass;
using recorder::SyscallSpec;

// What is shown first where not all fits.
enum RowRank : std::uint8_t {
  rank_evidence,
  rank_interest,
  rank_refusals,
  rank_changes,
  rank_failures,
  rank_opens,
  rank_rest
};
constexpr std::size_t row_ranks = rank_rest + 1;
constexpr std::size_t groups_at_most = 200000;  // beyond, calls are only counted
constexpr std::uint64_t clone_thread = 0x10000;

const char* origin_name(ProbeOrigin origin) {
  if (origin == ProbeOrigin::deliberate) return "deliberate";
  return origin == ProbeOrigin::incidental ? "incidental" : "unexplained";
}

// The lowest ranks, and in a rank the first; then all in the order of the trace.
void choose_rows(TraceView& view, std::size_t room) {
  std::vector<TraceRow>& rows = view.rows;
  std::sort(rows.begin(), rows.end(), [](const TraceRow& a, const TraceRow& b) {
    return std::tie(a.rank, a.sequence) < std::tie(b.rank, b.sequence);
  });
  for (std::size_t i = room; i < rows.size(); ++i) {
    ++view.rows_left_out;
    view.calls_left_out += rows[i].count;
  }
  if (rows.size() > room) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(room), rows.end());
  std::sort(rows.begin(), rows.end(),
            [](const TraceRow& a, const TraceRow& b) { return a.sequence < b.sequence; });
}

// The first ones; rows of others say "process not shown".
void choose_processes(TraceView& view, std::size_t room) {
  if (view.processes.size() <= room) return;
  view.processes_left_out += view.processes.size() - room;
  view.processes.resize(room);
}

class ViewBuilder {
 public:
  ViewBuilder(const Run& run, const Findings& findings, const EpisodeLimits& limits)
      : limits_(limits), facts_(findings.trace), context_(run) {
    auto mark = [&](const EvidenceList& list) {
      for (const Evidence& piece : list.kept())
        if (piece.sequence) evidence_.insert(*piece.sequence);
    };
    for (const CheckResult& check : findings.checks) mark(check.answer.evidence);
    for (const FeatureValue& value : findings.features) mark(value.evidence);
    for (const TimelineAct& act : findings.timeline)
      if (act.evidence.sequence) interesting_.insert(*act.evidence.sequence);
    view_.activity.assign(activity_kinds, std::vector<std::uint64_t>(limits.bins, 0));
  }

  void take(const Act& act) {
    context_.observe(act);
    const Event& event = *act.event;
    if (act.is_syscall())
      take_call(act);
    else
      take_life(event);
    context_.remember(act);
  }

  TraceView finish(TraceFacts facts) {
    view_.facts = std::move(facts);
    for (std::vector<TraceRow>& rows : pool_)
      std::move(rows.begin(), rows.end(), std::back_inserter(view_.rows));
    choose_rows(view_, limits_.rows);
    choose_processes(view_, limits_.processes);
    return std::move(view_);
  }

 private:
  std::size_t process_of(const Event& event) {
    auto at = running_.find(event.pid);
    if (at == running_.end()) {
      at = running_.emplace(event.pid, view_.processes.size()).first;
      ProcessView process;
      process.pid = event.pid;
      process.inside_pid = event.inside_pid;
      process.start_ns = event.time_ns;
      process.call = recorder::tool_call_of(event);
      view_.processes.push_back(std::move(process));
    }
    ProcessView& process = view_.processes[at->second];
    if (process.inside_pid == 0) process.inside_pid = event.inside_pid;
    return at->second;
  }

  void take_life(const Event& event) {
    const bool ends = ends_.ends(event);
    if (event.kind == EventKind::process_start && (event.args[0] & clone_thread) == 0) {
      std::size_t parent = process_of(event);
      auto child = static_cast<std::int32_t>(event.result);
      ProcessView process;
      process.pid = child;
      process.parent = static_cast<std::int64_t>(parent);
      process.program = view_.processes[parent].program;
      process.command = view_.processes[parent].command;
      process.start_ns = event.time_ns;
      process.call = recorder::tool_call_of(event);
      // Its own first event may have come before.
      if (auto known = running_.find(child); known != running_.end()) {
        view_.processes[known->second].parent = process.parent;
        return;
      }
      running_[child] = view_.processes.size();
      view_.processes.push_back(std::move(process));
    } else if (event.kind == EventKind::process_exec) {
      ProcessView& process = view_.processes[process_of(event)];
      for (const recorder::Capture& capture : event.captures)
        if (capture.kind == recorder::CaptureKind::file_identity &&
            capture.bytes.size() > sizeof(recorder::FileIdentity))
          process.program =
              shown_line(capture.bytes.substr(sizeof(recorder::FileIdentity)), limits_.line_bytes);
    } else if (ends) {
      ProcessView& process = view_.processes[process_of(event)];
      process.end_ns = event.time_ns;
      process.wait_status = event.result;
      running_.erase(event.pid);  // the pid may come again
    }
  }

  void take_call(const Act& act) {
    const Event& event = *act.event;
    const SyscallSpec* spec = recorder::find_syscall(event.abi, event.number);
    bool failed = event.has_exit && event.result < 0 && event.result >= -4095;
    bool refused =
        event.verdict == recorder::Verdict::refused || event.verdict == recorder::Verdict::killed;
    ActivityKind kind = kind_of(act, spec);
    std::size_t index = process_of(event);
    ProcessView& process = view_.processes[index];
    ++view_.syscalls;
    ++process.calls;
    process.failed += failed ? 1 : 0;
    for (CallCount* count : {&count_of(spec, event), &view_.by_tool_call[act.call]}) {
      ++count->calls;
      count->failed += failed ? 1 : 0;
      count->refused += refused ? 1 : 0;
    }
    ++view_.activity[static_cast<std::size_t>(kind)][bin_of(event.time_ns)];
    if (act.is_exec() && act.succeeded) set_command(process, act.argv);
    const char* cue = "";
    const char* origin = "";
    if (const auto& probe = context_.probing().current()) {
      cue = probe->matcher->cue;
      origin = origin_name(probe->origin);
    }
    TraceRow row;
    row.sequence = row.last_sequence = event.sequence;
    row.time_ns = row.last_ns = event.time_ns;
    row.duration_ns = event.duration_ns;
    row.process = index;
    row.call = act.call;
    row.kind = kind;
    row.failed = failed;
    row.refused = refused;
    row.evidence = evidence_.contains(event.sequence);
    row.cue = cue;
    row.origin = origin;
    add(act, std::move(row));
  }

  CallCount& count_of(const SyscallSpec* spec, const Event& event) {
    if (spec == nullptr) return view_.by_name[recorder::syscall_name(event.abi, event.number)];
    CallCount*& known = counts_[spec];
    if (known == nullptr) known = &view_.by_name[std::string(spec->name)];
    return *known;
  }

  RowRank rank_of(const Act& act, const TraceRow& row) const {
    if (row.evidence) return rank_evidence;
    if (interesting_.contains(row.sequence) || *row.cue != '\0' || (act.is_exec() && act.succeeded))
      return rank_interest;
    if (row.refused || row.kind == ActivityKind::network) return rank_refusals;
    if (row.kind == ActivityKind::change) return rank_changes;
    if (row.failed && !act.paths.empty()) return rank_failures;
    return act.is_open() ? rank_opens : rank_rest;
  }

  void add(const Act& act, TraceRow row) {
    RowRank rank = rank_of(act, row);
    row.rank = rank;
    // Evidence is pointed at by number, so it stands alone.
    if (rank != rank_evidence) {
      make_key(act, row);
      if (auto known = groups_.find(key_); known != groups_.end()) {
        TraceRow& group = pool_[known->second.first][known->second.second];
        ++group.count;
        group.last_sequence = row.sequence;
        group.last_ns = row.time_ns;
        group.duration_ns += row.duration_ns;
        return;
      }
    }
    if (groups_.size() >= groups_at_most) {
      ++view_.calls_left_out;
      return;
    }
    std::vector<TraceRow>& rows = pool_[rank];
    // Those of one rank are shown from the first on: later ones are only counted.
    if (rows.size() < limits_.rows)
      row.text = shown_line(recorder::format_event(*act.event, act.names), limits_.line_bytes);
    if (rank != rank_evidence) groups_.emplace(key_, std::pair(rank, rows.size()));
    rows.push_back(std::move(row));
  }

  // What rows of one group have in common. Made for every system call: no text is formatted.
  void make_key(const Act& act, const TraceRow& row) {
    key_.clear();
    auto append = [&](auto value) {
      key_.append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    append(row.process);
    append(row.call);
    append(act.event->abi);
    append(act.event->number);
    append(row.failed ? act.event->result : std::int64_t{0});
    append(row.refused);
    append(row.cue);  // from a table: the same cue of the same row is the same pointer
    append(row.origin);
    for (const ActPath& path : act.paths) {
      append(path.path.size());
      key_ += path.path;
    }
  }

  static ActivityKind kind_of(const Act& act, const SyscallSpec* spec) {
    if (act.changes_any()) return ActivityKind::change;
    if (spec == nullptr) return ActivityKind::other;
    if (spec->is(SyscallClass::network)) return ActivityKind::network;
    if (spec->is(SyscallClass::process)) return ActivityKind::process;
    if (spec->is(SyscallClass::file) || spec->is(SyscallClass::descriptor))
      return ActivityKind::file;
    return ActivityKind::other;
  }

  std::size_t bin_of(std::uint64_t time_ns) const {
    if (time_ns <= facts_.start_ns || facts_.end_ns <= facts_.start_ns) return 0;
    double share = static_cast<double>(time_ns - facts_.start_ns) /
                   static_cast<double>(facts_.end_ns - facts_.start_ns);
    return std::min(limits_.bins - 1,
                    static_cast<std::size_t>(share * static_cast<double>(limits_.bins)));
  }

  void set_command(ProcessView& process, const std::vector<std::string>& argv) {
    std::string command;
    for (const std::string& word : argv) {
      if (!command.empty()) command += ' ';
      bool plain = !word.empty() && word.find_first_of(" \t\n\"'\\") == std::string::npos;
      command += plain ? printable(word) : quoted(word);
      if (command.size() > limits_.line_bytes) break;
    }
    process.command = command.size() > limits_.line_bytes ? shown_line(command, limits_.line_bytes)
                                                          : std::move(command);
  }

  const EpisodeLimits& limits_;
  TraceFacts facts_;
  FeatureContext context_;
  TraceView view_;
  std::set<std::uint64_t> evidence_;
  std::set<std::uint64_t> interesting_;
  std::unordered_map<const SyscallSpec*, CallCount*> counts_;
  std::unordered_map<std::int32_t, std::size_t> running_;
  recorder::ProcessEnds ends_;
  std::array<std::vector<TraceRow>, row_ranks> pool_;
  std::unordered_map<std::string, std::pair<RowRank, std::size_t>> groups_;
  std::string key_;
};

}  // namespace

const char* activity_name(ActivityKind kind) {
  constexpr std::array<const char*, activity_kinds> names = {"other", "file", "change", "process",
                                                             "network"};
  return names[static_cast<std::size_t>(kind)];
}

TraceView narrowed(TraceView view, const EpisodeLimits& limits) {
  choose_rows(view, limits.rows);
  choose_processes(view, limits.processes);
  for (TraceRow& row : view.rows) row.text = cut_line(std::move(row.text), limits.line_bytes);
  for (ProcessView& process : view.processes) {
    process.program = cut_line(std::move(process.program), limits.line_bytes);
    process.command = cut_line(std::move(process.command), limits.line_bytes);
  }
  for (std::vector<std::uint64_t>& bins : view.activity) {
    std::size_t joined = bins.size() / limits.bins;
    for (std::size_t bin = 0; bin < limits.bins; ++bin)
      bins[bin] = std::accumulate(bins.begin() + static_cast<std::ptrdiff_t>(bin * joined),
                                  bins.begin() + static_cast<std::ptrdiff_t>((bin + 1) * joined),
                                  std::uint64_t{0});
    bins.resize(limits.bins);
  }
  return view;
}

TraceView view_trace(const Run& run, const Findings& findings, const EpisodeLimits& limits) {
  ViewBuilder builder(run, findings, limits);
  TraceFacts facts =
      for_each_act(run.bundle / "trace.gyt", [&](const Act& act) { builder.take(act); });
  return builder.finish(std::move(facts));
}

}  // namespace gyges::analysis
