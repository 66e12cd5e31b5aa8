// gyges doctor: what this host can and cannot do.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "sandbox/isolation/facilities.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::cli {
namespace {

void print_table(const std::vector<Facility>& facilities) {
  bool colour = ::isatty(STDOUT_FILENO) != 0;
  for (const Facility& facility : facilities) {
    const char* mark = facility.available ? "yes" : "no ";
    const char* on = !colour ? "" : facility.available ? "\x1b[32m" : "\x1b[33m";
    std::printf("%s%s%s  %-22s %s\n", on, mark, colour ? "\x1b[0m" : "", facility.name.c_str(),
                printable(facility.reason).c_str());
    if (!facility.cure.empty())
      std::printf("     %-22s cure: %s\n", "", printable(facility.cure).c_str());
  }
}

void print_json(const std::vector<Facility>& facilities) {
  nlohmann::json list = nlohmann::json::array();
  for (const Facility& facility : facilities)
    list.push_back({{"name", facility.name},
                    {"available", facility.available},
                    {"reason", valid_utf8(facility.reason)},
                    {"cure", valid_utf8(facility.cure)}});
  std::printf("%s\n", nlohmann::json{{"facilities", list}}.dump(2).c_str());
}

}  // namespace

void add_doctor(CLI::App& root, int& exit_status) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = root.add_subcommand("doctor", "Say what this host can and cannot do");
  command->add_flag("--json", *json, "machine-readable output");
  command->footer(
      "Exit status: 0 when sandboxes start and system calls can be recorded, 1 otherwise.\n\n"
      "Example:\n  gyges doctor --json");
  command->callback([json, &exit_status] {
    std::vector<Facility> facilities = isolation::probe_facilities();
    bool sandbox = false;
    for (const Facility& facility : facilities)
      if (facility.name == "sandbox") sandbox = facility.available;
    for (Facility& facility : recorder::probe_facilities())
      facilities.push_back(std::move(facility));
    auto recorder = recorder::Recorder::open(std::nullopt, {});
    facilities.push_back({"recorder", recorder.has_value(),
                          recorder ? std::string(recorder::backend_name((*recorder)->backend()))
                                   : recorder.error().reason,
                          recorder ? "" : recorder.error().cure});
    if (*json)
      print_json(facilities);
    else
      print_table(facilities);
    exit_status = sandbox && recorder ? 0 : exit_found;
  });
}

}  // namespace gyges::cli
