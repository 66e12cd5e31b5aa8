// What recording costs and what it yields: every promise about the recorder, measured in one run
// against every peer that is installed (strace, perf trace, perf record, sysdig).
//
//   recorder_bench [--json-file FILE] [--rounds N] [--scale F] [--only NAME[,NAME...]]
//   recorder_bench work ...     (the work itself: works.h)
//   recorder_bench record ...   (the recorder as a command: record_command.h)
//   recorder_bench floor ...    (what any recorder costs: floor_command.h)
//
// Prints a table: best and median of the rounds, ratios to the untraced run, calls lost, target and
// whether it was met. Arms take turns, because the machine is never quiet; trust ratios, absolute
// times move with the machine.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "arms.h"
#include "base/files.h"
#include "base/json.h"
#include "floor_command.h"
#include "measures.h"
#include "record_command.h"
#include "works.h"

namespace {

using namespace gyges;
using namespace gyges::bench;

struct Group {
  const char* name;
  std::vector<Row> (*measure)(const Arms&, const Settings&);
};
constexpr Group groups[] = {
    {"loops", measure_loops},   {"programs", measure_programs},   {"flood", measure_flood},
    {"stall", measure_stall},   {"neighbour", measure_neighbour}, {"race", measure_race},
    {"memory", measure_memory}, {"traces", measure_traces},
};

[[noreturn]] void stop(const std::string& why) {
  fmt::print(stderr, "recorder_bench: {}\n", why);
  std::exit(1);
}

std::string optional_text(const std::optional<double>& value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : std::string("-");
}

void print(const Row& row) {
  fmt::print("{:<40} {:<13} {:>10.1f} {:>10} {:<18} {:>8} {:>8} {:>10} {:<28} {:<5} {}\n",
             row.measure, row.arm, row.best, optional_text(row.median, "{:.1f}"), row.unit,
             optional_text(row.ratio, "{:.2f}x"), optional_text(row.median_ratio, "{:.2f}x"),
             row.lost ? std::to_string(*row.lost) : "-", row.target.empty() ? "-" : row.target,
             row.met ? (*row.met ? "met" : "NOT") : "", row.note);
  std::fflush(stdout);
}

nlohmann::json json_of(const Row& row) {
  nlohmann::json json{
      {"measure", row.measure}, {"arm", row.arm}, {"unit", row.unit}, {"best", row.best}};
  if (row.median) json["median"] = *row.median;
  if (row.ratio) json["ratio"] = *row.ratio;
  if (row.median_ratio) json["median_ratio"] = *row.median_ratio;
  if (row.lost) json["lost"] = *row.lost;
  if (!row.target.empty()) json["target"] = row.target;
  if (row.met) json["met"] = *row.met;
  if (!row.note.empty()) json["note"] = row.note;
  return json;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 5 && std::string(argv[1]) == "work")
    return do_work(argv[2], std::atol(argv[3]), argv[4]);
  if (argc >= 2 && std::string(argv[1]) == "record") return record_command(argc - 2, argv + 2);
  if (argc >= 2 && std::string(argv[1]) == "floor") return floor_command(argc - 2, argv + 2);
  std::string json_file;
  std::string only;
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json-file" && i + 1 < argc) {
      json_file = argv[++i];
    } else if (option == "--rounds" && i + 1 < argc) {
      settings.rounds = std::max(1, std::atoi(argv[++i]));
    } else if (option == "--scale" && i + 1 < argc) {
      settings.scale = std::atof(argv[++i]);
    } else if (option == "--only" && i + 1 < argc) {
      only = "," + std::string(argv[++i]) + ",";
    } else {
      stop(
          "usage: recorder_bench [--json-file FILE] [--rounds N] [--scale F] [--only GROUP,...]\n"
          "groups: loops programs flood stall neighbour race memory traces");
    }
  }
  auto directory = TemporaryDirectory::create("recorder_bench");
  if (!directory) stop(directory.error().line());
  prepare_works(directory->path());
  const Arms arms(directory->path());
  fmt::print("{:<40} {:<13} {:>10} {:>10} {:<18} {:>8} {:>8} {:>10} {:<28}\n", "measure", "arm",
             "best", "median", "unit", "ratio", "(median)", "lost", "target");
  nlohmann::json result = nlohmann::json::array();
  for (const Group& group : groups) {
    if (!only.empty() && only.find(fmt::format(",{},", group.name)) == std::string::npos) continue;
    for (const Row& row : group.measure(arms, settings)) {
      print(row);
      result.push_back(json_of(row));
    }
  }
  if (!json_file.empty()) std::ofstream(json_file) << result.dump(2) << "\n";
  return 0;
}
