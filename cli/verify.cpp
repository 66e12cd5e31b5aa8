// gyges verify: is a run as it was sealed?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/json_document.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::cli {
using namespace recorder;
namespace {

struct Verification {
  std::vector<BundleFault> faults;
  std::string chain_head;  // empty without a trace
};

std::string head_of(const std::filesystem::path& trace) {
  auto reader = TraceReader::open(trace);
  return reader ? to_hex(reader->chain_head()) : "";
}

// A bundle is compared with its seal; a trace file alone with its own running hash.
Result<Verification> verify(const std::filesystem::path& run) {
  Verification result;
  std::error_code error;
  if (std::filesystem::is_directory(run, error)) {
    GYGES_TRY(result.faults, verify_bundle(run));
    if (std::filesystem::exists(run / "trace.gyt", error))
      result.chain_head = head_of(run / "trace.gyt");
    return result;
  }
  GYGES_TRY(TraceReader reader, TraceReader::open(run));
  result.chain_head = to_hex(reader.chain_head());
  if (reader.damage())
    result.faults.push_back({run.filename().string(),
                             fmt::format("block {} at byte {}: {}; {} events before it are good",
                                         reader.damage()->block, reader.damage()->offset,
                                         reader.damage()->reason, reader.damage()->first_missing)});
  return result;
}

int verify_all(const std::vector<std::string>& runs, bool json) {
  int status = 0;
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& run : runs) {
    auto verified = verify(run);
    nlohmann::json row{{"run", valid_utf8(run)}, {"faults", nlohmann::json::array()}};
    if (!verified) {
      status = report(verified.error());
      row["status"] = "unreadable";
      row["error"] = valid_utf8(verified.error().line());
      list.push_back(std::move(row));
      continue;
    }
    bool intact = verified->faults.empty();
    if (!intact) status = std::max(status, exit_found);
    row["status"] = intact ? "intact" : "changed";
    row["chain_head"] = verified->chain_head.empty() ? nlohmann::json(nullptr)
                                                     : nlohmann::json(verified->chain_head);
    for (const BundleFault& fault : verified->faults)
      row["faults"].push_back(
          {{"file", valid_utf8(fault.file)}, {"reason", valid_utf8(fault.reason)}});
    if (!json) {
      if (intact)
        fmt::print("{}: intact{}\n", printable(run),
                   verified->chain_head.empty() ? "" : ", chain head " + verified->chain_head);
      for (const BundleFault& fault : verified->faults)
        fmt::print("{}: {}: {}\n", printable(run), printable(fault.file), printable(fault.reason));
    }
    list.push_back(std::move(row));
  }
  if (json) fmt::print("{}\n", nlohmann::json{{"runs", std::move(list)}}.dump(-1, ' ', true));
  std::fflush(stdout);
  return status;
}

}  // namespace

void add_verify(CLI::App& root, int& exit_status) {
  auto runs = std::make_shared<std::vector<std::string>>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = root.add_subcommand(
      "verify",
      "Compares runs with their seals: every file, and every block of the trace. Checksums show "
      "change, not who made it; compare the chain head with one kept elsewhere. Exits with 0 when "
      "all are intact, 1 when something was changed, 125 when something cannot be read.");
  command->add_option("RUN", *runs, "directories of runs, or trace files")->required();
  command->add_flag("--json", *json, "one JSON object");
  command->callback([runs, json, &exit_status] { exit_status = verify_all(*runs, *json); });
}

}  // namespace gyges::cli
