// gyges verify: is a run as it was sealed, and who sealed it?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "sandbox/recorder/format/bundle_check.h"
#include "sandbox/recorder/format/ledger.h"
#include "sandbox/recorder/format/trace_check.h"

namespace gyges::cli {
using namespace recorder;
namespace {

struct VerifyOptions {
  std::vector<std::string> runs;
  std::string key;
  std::string ledger;
  bool json = false;
};

// What runs are compared with, found once for all of them.
struct Expectations {
  std::string own;       // fingerprint of this user's key; empty if there is none
  std::string demanded;  // fingerprint of the key that must have signed; empty: any or none
  std::filesystem::path ledger;
};

Result<Expectations> expectations_of(const VerifyOptions& options) {
  Expectations expected;
  SealPlaces places = SealPlaces::from_environment();
  expected.ledger = options.ledger.empty() ? places.ledger : std::filesystem::path(options.ledger);
  // No key is no error here: other people's runs can be verified without one.
  if (auto own = SealKey::load(places.key)) expected.own = key_fingerprint(own->public_key());
  if (!options.key.empty()) {
    GYGES_TRY(expected.demanded, fingerprint_of_named_key(options.key));
  }
  if (!options.ledger.empty()) {
    // A ledger that was named must be there.
    auto found = look_up(options.ledger, "");
    if (!found) return tl::unexpected<Error>(std::move(found.error()));
  }
  return expected;
}

struct Verification {
  BundleCheck check;
  bool is_bundle = false;
};

// A bundle is compared with its seal; a trace file alone with its own running hash.
Result<Verification> verify(const std::filesystem::path& run, const Expectations& expected) {
  Verification result;
  std::error_code error;
  result.is_bundle = std::filesystem::is_directory(run, error);
  if (result.is_bundle) {
    GYGES_TRY(result.check, check_bundle(run, expected.ledger));
  } else {
    GYGES_TRY(TraceCheck trace, check_trace(run));
    result.check.chain_head = trace.chain_head;
    if (!trace.fault.empty())
      result.check.faults.push_back(
          {run.filename().string(), trace.fault, std::move(trace.first_bad_byte)});
  }
  const std::string& demanded = expected.demanded;
  if (demanded.empty()) return result;
  std::string where = result.is_bundle ? "seal.json" : run.filename().string();
  if (!result.check.signer)
    result.check.faults.push_back(
        {where, fmt::format("it has no good signature, but one by key {} is demanded", demanded)});
  else if (key_fingerprint(*result.check.signer) != demanded)
    result.check.faults.push_back(
        {where, fmt::format("signed by key {}, not by key {}",
                            key_fingerprint(*result.check.signer), demanded)});
  return result;
}

std::string_view name_of(LedgerFinding finding) {
  switch (finding) {
    case LedgerFinding::none:
      return "none";
    case LedgerFinding::unknown:
      return "unknown";
    case LedgerFinding::agrees:
      return "agrees";
    case LedgerFinding::differs:
      return "differs";
  }
  return "none";
}

// "signed by your key 0a1b..., in the ledger, chain head ..."
std::string findings(const Verification& verified, const Expectations& expected) {
  const BundleCheck& check = verified.check;
  std::vector<std::string> parts;
  if (verified.is_bundle && !check.signer) parts.emplace_back("not signed");
  if (check.signer) {
    std::string fingerprint = key_fingerprint(*check.signer);
    parts.push_back(fmt::format("signed by {} key {}",
                                fingerprint == expected.own ? "your"
                                : expected.demanded.empty() ? "an unknown"
                                                            : "the demanded",
                                fingerprint));
  }
  if (check.ledger == LedgerFinding::agrees) parts.emplace_back("in the ledger");
  if (check.ledger == LedgerFinding::unknown) parts.emplace_back("not in the ledger");
  if (check.ledger == LedgerFinding::none && verified.is_bundle)
    parts.emplace_back("no ledger here");
  if (check.unreadable_ledger_lines != 0)
    parts.push_back(
        fmt::format("{} lines of the ledger cannot be read", check.unreadable_ledger_lines));
  for (const std::string& omitted : check.omitted)
    parts.push_back("sealed without " + printable(omitted));
  if (!check.chain_head.empty()) parts.push_back("chain head " + check.chain_head);
  std::string text;
  for (const std::string& part : parts) text += ", " + part;
  return text;
}

nlohmann::json json_of(const Verification& verified, const Expectations& expected) {
  const BundleCheck& check = verified.check;
  auto or_null = [](const std::string& text) {
    return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
  };
  nlohmann::json row{{"status", check.faults.empty() ? "intact" : "changed"},
                     {"chain_head", or_null(check.chain_head)},
                     {"run_id", or_null(check.run_id)},
                     {"signature", nullptr},
                     {"ledger", name_of(check.ledger)},
                     {"unreadable_ledger_lines", check.unreadable_ledger_lines},
                     {"omitted", nlohmann::json::array()},
                     {"faults", nlohmann::json::array()}};
  if (check.signer) {
    std::string fingerprint = key_fingerprint(*check.signer);
    row["signature"] = {{"public_key", public_key_text(*check.signer)},
                        {"fingerprint", fingerprint},
                        {"own", fingerprint == expected.own}};
  }
  for (const std::string& omitted : check.omitted) row["omitted"].push_back(valid_utf8(omitted));
  for (const BundleFault& fault : check.faults) {
    nlohmann::json byte = nullptr;
    if (fault.first_bad_byte)
      byte = {{"from", fault.first_bad_byte->from}, {"to", fault.first_bad_byte->to}};
    row["faults"].push_back({{"file", valid_utf8(fault.file)},
                             {"reason", valid_utf8(fault.reason)},
                             {"first_bad_byte", byte}});
  }
  return row;
}

int verify_all(const VerifyOptions& options) {
  auto expected = expectations_of(options);
  if (!expected) return report(expected.error());
  int status = 0;
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& run : options.runs) {
    auto verified = verify(run, *expected);
    if (!verified) {
      status = report(verified.error());
      list.push_back({{"run", valid_utf8(run)},
                      {"faults", nlohmann::json::array()},
                      {"status", "unreadable"},
                      {"error", valid_utf8(verified.error().line())}});
      continue;
    }
    const std::vector<BundleFault>& faults = verified->check.faults;
    if (!faults.empty()) status = std::max(status, exit_found);
    if (options.json) {
      list.push_back(json_of(*verified, *expected));
      list.back()["run"] = valid_utf8(run);
      continue;
    }
    if (faults.empty())
      fmt::print("{}: intact{}\n", printable(run), findings(*verified, *expected));
    for (const BundleFault& fault : faults)
      fmt::print("{}: {}: {}\n", printable(run), printable(fault.file), printable(fault.reason));
  }
  if (options.json)
    fmt::print("{}\n", nlohmann::json{{"runs", std::move(list)}}.dump(-1, ' ', true));
  std::fflush(stdout);
  return status;
}

}  // namespace

void add_verify(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command =
      root.add_subcommand("verify", "Are runs as they were sealed, and whose key signed?");
  command->add_option("RUN", options->runs, "directories of runs, or trace files")->required();
  command->add_option("--key", options->key,
                      "who must have signed: a PEM file, 64 digits of a public key or 32 of a "
                      "fingerprint");
  command->add_option("--ledger", options->ledger,
                      "compare with this ledger; default: ledger.jsonl in the state directory");
  command->add_flag("--json", options->json, "one JSON object");
  command->footer(
      "Compares every file and block of the trace with the seal, the seal with its signature, and "
      "both\nwith the ledger of runs that this user sealed.\n\n"
      "Exit status: 0 all are intact, 1 something was changed, 125 something cannot be read.\n\n"
      "Examples:\n"
      "  gyges verify runs/1\n"
      "  gyges verify out/demo/runs/*");
  command->callback([options, &exit_status] { exit_status = verify_all(*options); });
}

}  // namespace gyges::cli
