// gyges trace: shows, counts and exports the trace of a run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/trace_export.h"
#include "cli/trace_follow.h"
#include "cli/trace_order.h"
#include "sandbox/recorder/format/event_filter.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/syscall_page.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/format/trace_statistics.h"

namespace gyges::cli {
using namespace recorder;
namespace {

// A run's directory or a trace file.
Result<TraceReader> open_trace(const std::string& run) {
  std::filesystem::path path(run);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    path /= "trace.gyt";
    if (!std::filesystem::exists(path, error) && !error)
      return fail("open run", run, "it has no trace.gyt",
                  "it was run without recorder, or is not a run's directory");
  }
  return TraceReader::open(path);
}

// Damage is a finding (1), everything else an error of our own. That a run goes on is neither.
int report_reading(const Status& status, const TraceReader& reader) {
  if (status) return 0;
  if (status.error().code == EINPROGRESS) {
    fmt::print(stderr,
               "gyges: the run goes on: these are its first {} events. `gyges trace show --follow` "
               "waits for the others.\n",
               reader.extent().events);
    return 0;
  }
  int own_error = report(status.error());
  return reader.damage() ? exit_found : own_error;
}

struct ShowOptions {
  std::string run;
  std::optional<std::uint32_t> tool_call;
  std::optional<std::int32_t> pid;
  std::vector<std::string> syscalls;
  std::vector<std::string> classes;
  std::optional<std::string> path;
  std::optional<std::string> program;
  bool raced = false;
  bool failed = false;
  bool refused = false;
  std::optional<double> since;
  std::optional<double> until;
  bool json = false;
  bool follow = false;
  std::vector<std::string> verdicts;
  std::vector<std::string> errors;
  bool fast = false;
  std::uint64_t limit = 0;  // 0: none
};

Result<EventFilter> filter_of(const ShowOptions& options, std::uint64_t start_ns) {
  EventFilter filter;
  filter.tool_call = options.tool_call;
  filter.pid = options.pid;
  filter.syscalls = options.syscalls;
  filter.path = options.path;
  filter.program = options.program;
  filter.raced = options.raced;
  filter.failed = options.failed;
  filter.refused = options.refused;
  for (const std::string& name : options.syscalls) GYGES_CHECK(check_syscall_name(name));
  for (const std::string& name : options.classes) {
    GYGES_TRY(SyscallClass cls, parse_syscall_class(name));
    filter.classes.push_back(cls);
  }
  for (const std::string& name : options.verdicts) {
    GYGES_TRY(Verdict verdict, parse_verdict(name));
    filter.verdicts.push_back(verdict);
  }
  for (const std::string& name : options.errors) {
    GYGES_TRY(std::int64_t code, parse_error_name(name));
    filter.errors.push_back(code);
  }
  if (options.since && options.until && *options.since > *options.until)
    return fail("filter events", fmt::format("--until {}", *options.until), "it is before --since",
                "name a later second");
  if (options.since) filter.since_ns = start_ns + static_cast<std::uint64_t>(*options.since * 1e9);
  if (options.until) filter.until_ns = start_ns + static_cast<std::uint64_t>(*options.until * 1e9);
  return filter;
}

std::string text_line(const Event& event, const PathResolver& names, std::uint64_t start_ns) {
  // Negative only when following: a call that began before the first block and ended after it.
  double seconds = static_cast<double>(static_cast<std::int64_t>(event.time_ns - start_ns)) / 1e9;
  std::uint32_t call = tool_call_of(event);
  return fmt::format(
      "{:>12.6f} {:>4} {:>6} {}", seconds, call == 0 ? "-" : fmt::format("#{}", call),
      event.inside_pid != 0 ? event.inside_pid : event.pid, format_event(event, &names));
}

int show(const ShowOptions& options) {
  auto reader = options.follow ? open_live_trace([&] { return open_trace(options.run); })
                               : open_trace(options.run);
  if (!reader) return report(reader.error());
  std::uint64_t start_ns = reader->extent().start_ns;
  auto filter = filter_of(options, start_ns);
  if (!filter) {
    report(filter.error());
    return exit_usage;
  }
  std::uint64_t printed = 0;
  MakeLine make = [&](const Event& event, const std::vector<ResolvedPath>& paths,
                      const PathResolver& names) -> std::string {
    if (!filter->takes(event, paths, names.program(event.pid))) return {};
    return options.json ? json_line(event_to_json(event, paths, &names))
                        : text_line(event, names, start_ns);
  };
  TakeLine take = [&](const std::string& line) {
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fputc('\n', stdout);
    return ++printed != options.limit && std::ferror(stdout) == 0;
  };
  BlockQuery blocks;
  if (options.fast) blocks = filter->block_query();
  Status read = options.follow ? follow_lines(*reader, make, take)
                               : for_each_line_by_entry(*reader, blocks, make, take);
  std::fflush(stdout);
  return report_reading(read, *reader);
}

nlohmann::json counts_json(const CallCounts& counts) {
  return {{"calls", counts.calls},
          {"failed", counts.failed},
          {"refused", counts.refused},
          {"total_ns", counts.total_ns}};
}

nlohmann::json statistics_json(const TraceStatistics& statistics, const TraceReader& reader,
                               double bytes_per_syscall) {
  nlohmann::json json{{"backend", backend_name(reader.backend())},
                      {"events", statistics.events()},
                      {"syscalls", statistics.total().calls},
                      {"failed", statistics.total().failed},
                      {"refused", statistics.total().refused},
                      {"lost", reader.extent().counters.lost},
                      {"waits", statistics.waits()},
                      {"waited_ns", statistics.waited_ns()},
                      {"bytes", reader.extent().bytes},
                      {"bytes_per_syscall", bytes_per_syscall},
                      {"blocks", reader.extent().blocks},
                      {"duration_ns", statistics.last_ns() - statistics.first_ns()},
                      {"chain_head", to_hex(reader.chain_head())},
                      {"coverage", nullptr},
                      {"damage", nullptr},
                      {"per_syscall", nlohmann::json::array()},
                      {"per_tool_call", nlohmann::json::array()},
                      {"per_process", nlohmann::json::array()}};
  if (reader.coverage()) json["coverage"] = coverage_to_json(*reader.coverage());
  if (reader.damage())
    json["damage"] = {{"offset", reader.damage()->offset},
                      {"block", reader.damage()->block},
                      {"first_missing", reader.damage()->first_missing},
                      {"reason", reader.damage()->reason}};
  for (const auto& [name, counts] : statistics.per_syscall()) {
    json["per_syscall"].push_back(counts_json(counts));
    json["per_syscall"].back()["syscall"] = name;
  }
  for (const ToolCallCounts& call : statistics.per_tool_call()) {
    nlohmann::json row = counts_json(call.counts);
    row["tool_call"] =
        call.tool_call == 0 ? nlohmann::json(nullptr) : nlohmann::json(call.tool_call);
    row["tool"] = valid_utf8(call.tool);
    row["processes"] = call.processes;
    json["per_tool_call"].push_back(std::move(row));
  }
  for (const ProcessCounts& process : statistics.per_process()) {
    nlohmann::json row = counts_json(process.counts);
    row["pid"] = process.pid;
    row["inside_pid"] = process.inside_pid;
    row["tool_call"] =
        process.tool_call == 0 ? nlohmann::json(nullptr) : nlohmann::json(process.tool_call);
    row["program"] = valid_utf8(process.program);
    json["per_process"].push_back(std::move(row));
  }
  return json;
}

void print_counts(std::string_view head, const CallCounts& counts) {
  fmt::print("{:>10} {:>8} {:>8} {:>12.6f}  {}\n", counts.calls, counts.failed, counts.refused,
             static_cast<double>(counts.total_ns) / 1e9, head);
}

void print_statistics(const TraceStatistics& statistics, const TraceReader& reader,
                      double bytes_per_syscall) {
  const TraceExtent& extent = reader.extent();
  fmt::print("backend      {}\n", backend_name(reader.backend()));
  fmt::print("syscalls     {} ({} failed, {} refused), {} events in {} blocks\n",
             statistics.total().calls, statistics.total().failed, statistics.total().refused,
             statistics.events(), extent.blocks);
  fmt::print("lost         {}\n", extent.counters.lost);
  fmt::print("waits        {} ({:.6f} s: tasks held back because the recorder was behind)\n",
             statistics.waits(), static_cast<double>(statistics.waited_ns()) / 1e9);
  fmt::print("size         {} bytes, {:.2f} per system call\n", extent.bytes, bytes_per_syscall);
  fmt::print("duration     {:.6f} s\n",
             static_cast<double>(statistics.last_ns() - statistics.first_ns()) / 1e9);
  if (reader.coverage()) {
    fmt::print("coverage     {}\n", reader.coverage()->complete
                                        ? "complete: recorded equals counted, nothing lost"
                                        : "NOT complete: calls or operations are missing");
    for (const std::string& item : reader.coverage()->not_observable)
      fmt::print("  not seen   {}\n", printable(item));
    for (const std::string& item : reader.coverage()->degraded)
      fmt::print("  degraded   {}\n", printable(item));
  } else {
    fmt::print("coverage     none: the trace was not finished\n");
  }
  constexpr std::string_view columns = "     calls   failed  refused      seconds  ";
  fmt::print("\n{}system call\n", columns);
  for (const auto& [name, counts] : statistics.per_syscall()) print_counts(name, counts);
  fmt::print("\n{}tool call\n", columns);
  for (const ToolCallCounts& call : statistics.per_tool_call())
    print_counts(call.tool_call == 0 ? std::string("(none)")
                                     : fmt::format("#{} {} ({} processes)", call.tool_call,
                                                   printable(call.tool), call.processes),
                 call.counts);
  fmt::print("\n{}process\n", columns);
  for (const ProcessCounts& process : statistics.per_process())
    print_counts(
        fmt::format("{} (host {}) {}", process.inside_pid, process.pid, printable(process.program)),
        process.counts);
}

int stat(const std::string& run, bool json) {
  auto reader = open_trace(run);
  if (!reader) return report(reader.error());
  TraceStatistics statistics;
  Status read = reader->for_each([&](const Event& event) {
    statistics.add(event);
    return true;
  });
  std::uint64_t calls = statistics.total().calls;
  double per_call =
      calls == 0 ? 0 : static_cast<double>(reader->extent().bytes) / static_cast<double>(calls);
  if (json)
    fmt::print("{}\n", json_line(statistics_json(statistics, *reader, per_call)));
  else
    print_statistics(statistics, *reader, per_call);
  std::fflush(stdout);
  return report_reading(read, *reader);
}

struct ExportFormat {
  std::string_view name;
  Status (*write)(TraceReader&, const std::filesystem::path&);
};
constexpr ExportFormat export_formats[] = {
    {"jsonl", export_jsonl},
    {"sqlite", export_sqlite},
    {"perfetto", export_perfetto},
};

int export_trace(const std::string& run, const std::string& format, const std::string& output) {
  auto reader = open_trace(run);
  if (!reader) return report(reader.error());
  for (const ExportFormat& known : export_formats)
    if (known.name == format) return report_reading(known.write(*reader, output), *reader);
  return report({"export trace", format, "there is no such format", "", 0, {}});
}

constexpr double longest_seconds = 1e9;  // in nanoseconds, too, a 64-bit number

void add_show(CLI::App& trace, int& exit_status) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command = trace.add_subcommand(
      "show", "Print a trace, one event a line in order of entry, in the manner of strace");
  command->add_option("RUN", options->run, "a run's directory or a trace file")->required();
  command->add_option("--tool-call", options->tool_call, "only what tool call N did or started");
  command->add_option("--pid", options->pid, "only this process, inside or host pid");
  command->add_option("--syscall", options->syscalls, "only these system calls, as a,b")
      ->delimiter(',');
  command
      ->add_option("--class", options->classes,
                   "only these classes: file, process, network, memory, signal, ipc, time, "
                   "descriptor, security, mutation, system")
      ->delimiter(',');
  command->add_option(
      "--path", options->path,
      "only calls on a matching path: * within a component, ** across, ? one character");
  command->add_option(
      "--program", options->program,
      "only processes that execute this file: its name, or a pattern as for --path");
  command->add_flag("--raced", options->raced,
                    "only where a call used another file than the one it was asked for");
  command->add_flag("--failed", options->failed, "only calls that failed");
  command->add_flag("--refused", options->refused, "only calls the sandbox's filter refused");
  command
      ->add_option("--verdict", options->verdicts,
                   "only calls that were allowed, refused, emulated or killed, as a,b")
      ->delimiter(',');
  command
      ->add_option("--error", options->errors, "only calls that failed with this, as ENOENT,EACCES")
      ->delimiter(',');
  command->add_option("--since", options->since, "from this second on")
      ->check(CLI::Range(0.0, longest_seconds));
  command->add_option("--until", options->until, "up to this second")
      ->check(CLI::Range(0.0, longest_seconds));
  command->add_option("--limit", options->limit, "stop after N lines, at least 1")
      ->check([](const std::string& text) {
        const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
        return digits && text.find_first_not_of('0') != std::string::npos
                   ? std::string()
                   : "\"" + text + "\" is no number of lines: at least 1";
      });
  command->add_flag("-f,--follow", options->follow,
                    "go on as the run goes on, until it ends; in order of end within a second");
  command
      ->add_flag("--fast", options->fast,
                 "leave out parts of the trace that hold nothing of this: descriptors and "
                 "relative paths from there are then not named")
      ->excludes("--path")
      ->excludes("--program")
      ->excludes("--follow");
  command->add_flag("--json", options->json, "one JSON object a line");
  command->footer(
      "A line has seconds since the start, tool call, process id inside the sandbox, and the "
      "call.\n"
      "Filters combine: all must hold.\n\n"
      "Exit status: 1 when the trace is damaged or its recorder died; what is good of it was "
      "shown.\n\n"
      "Examples:\n"
      "  gyges trace show runs/1 --class mutation\n"
      "  gyges trace show runs/1 --path '/etc/**' --failed --limit 20\n"
      "  gyges trace show runs/1 --tool-call 14 --json");
  command->callback([options, &exit_status] { exit_status = show(*options); });
}

void add_stat(CLI::App& trace, int& exit_status) {
  auto run = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = trace.add_subcommand(
      "stat", "Count a trace per system call, tool call and process; say what it covers");
  command->add_option("RUN", *run, "a run's directory or a trace file")->required();
  command->add_flag("--json", *json, "one JSON object");
  command->footer("Example:\n  gyges trace stat runs/1");
  command->callback([run, json, &exit_status] { exit_status = stat(*run, *json); });
}

void add_export(CLI::App& trace, int& exit_status) {
  struct Options {
    std::string run, format, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      trace.add_subcommand("export", "Write a trace in a form that other tools read");
  command->add_option("RUN", options->run, "a run's directory or a trace file")->required();
  command
      ->add_option("--format", options->format,
                   "jsonl; sqlite; perfetto (JSON that ui.perfetto.dev opens)")
      ->required()
      ->check(CLI::IsMember({"jsonl", "sqlite", "perfetto"}));
  command->add_option("-o,--output", options->output, "file to write; replaced if it exists")
      ->required();
  command->footer("Example:\n  gyges trace export runs/1 --format sqlite -o run.sqlite");
  command->callback([options, &exit_status] {
    exit_status = export_trace(options->run, options->format, options->output);
  });
}

void add_syscalls(CLI::App& trace, int& exit_status) {
  trace
      .add_subcommand("syscalls",
                      "Print the table of system calls: arguments, and how far they are decoded")
      ->footer("Example:\n  gyges trace syscalls | less")
      ->callback([&exit_status] {
        std::string page = syscall_page();
        std::fwrite(page.data(), 1, page.size(), stdout);
        std::fflush(stdout);
        exit_status = 0;
      });
}

}  // namespace

void add_trace(CLI::App& root, int& exit_status) {
  CLI::App* trace = root.add_subcommand("trace", "Show, count and export what the recorder saw");
  trace->require_subcommand(1);
  add_show(*trace, exit_status);
  add_stat(*trace, exit_status);
  add_export(*trace, exit_status);
  add_syscalls(*trace, exit_status);
}

}  // namespace gyges::cli
