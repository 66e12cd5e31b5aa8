#include "agent_runtime/review/reviewed_run.h"

#include <fstream>

#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/regular_file.h"
#include "base/text.h"
#include "sandbox/recorder/format/bundle.h"

namespace gyges::review {
namespace {

using nlohmann::json;

std::string text_in(const json& object, const char* name) {
  auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

ReviewedCall& call_in(ReviewedRun& run, const json& line) {
  auto number = line.value("call", 0U);
  // Nearly always the latest.
  for (auto call = run.calls.rbegin(); call != run.calls.rend(); ++call)
    if (call->call == number) return *call;
  run.calls.push_back({number, "", "", "", "", ""});
  return run.calls.back();
}

std::string outcome_of(const json& line) {
  if (line.contains("error") && line.at("error").is_object())
    return text_in(line.at("error"), "type");
  if (line.value("signal", 0) != 0) return "signal " + std::to_string(line.value("signal", 0));
  return "exit " + std::to_string(line.value("exit_code", 0));
}

void take_decision(ReviewedRun& run, const json& line) {
  ReviewedCall& call = call_in(run, line);
  call.decision = text_in(line, "decision");
  std::string said = line.contains("would") ? text_in(line, "would") : call.decision;
  if (said == "rejected" || said == "terminated")
    run.flags.push_back("call " + std::to_string(call.call) + ": " + said + " by " +
                        text_in(line, "approver") + ": " + text_in(line, "reason"));
}

void take_verdict(ReviewedRun& run, const json& line) {
  const json verdict = line.value("verdict", json::object());
  if (!verdict.value("flagged", false)) return;
  run.flags.push_back("monitor " + text_in(verdict, "monitor") + ", call " +
                      std::to_string(verdict.value("call", 0U)) + ": " +
                      text_in(verdict, verdict.contains("error") ? "error" : "reason"));
}

void take(ReviewedRun& run, const json& line, std::size_t output_bytes) {
  std::string type = text_in(line, "type");
  if (type == "tool_requested") {
    ReviewedCall& call = call_in(run, line);
    call.tool = text_in(line, "name");
    call.arguments = line.value("arguments", json::object())
                         .dump(-1, ' ', false, json::error_handler_t::replace);
  } else if (type == "tool_decided") {
    take_decision(run, line);
  } else if (type == "tool_executed") {
    ReviewedCall& call = call_in(run, line);
    call.outcome = outcome_of(line);
    if (output_bytes != 0) call.output = text_in(line, "output").substr(0, output_bytes);
  } else if (type == "monitor") {
    take_verdict(run, line);
  } else if (type == "end") {
    run.report = text_in(line, "report");
  }
}

}  // namespace

std::string ReviewedRun::stratum() const {
  std::string text = agent;
  for (const auto& [factor, level] : condition) text += " " + factor + "=" + level;
  return text;
}

Result<ReviewedRun> load_reviewed_run(const std::filesystem::path& bundle,
                                      std::size_t output_bytes) {
  GYGES_TRY(auto faults, recorder::verify_bundle(bundle));
  if (!faults.empty())
    return fail("check seal", (bundle / faults[0].file).string(), faults[0].reason,
                "a run that was changed is no evidence");
  GYGES_TRY(json document, load_json(bundle / "run.json", "run"));
  ReviewedRun run;
  run.bundle = bundle;
  run.run_id = document.at("run_id").get<std::string>();
  if (document.at("agent").is_object()) run.agent = text_in(document.at("agent"), "name");
  run.condition = document.at("condition").get<std::map<std::string, std::string>>();
  run.exit_kind = text_in(document.at("exit"), "kind");
  GYGES_TRY(Sha256 seal, sha256_of_file(bundle / "seal.json"));
  run.seal_sha256 = to_hex(seal);
  if (std::filesystem::exists(bundle / "transcript.jsonl"))
    GYGES_CHECK(check_regular_file(bundle / "transcript.jsonl"));
  std::ifstream transcript(bundle / "transcript.jsonl");
  for (std::string text; std::getline(transcript, text);) {
    GYGES_TRY(json line, parse_json(text, (bundle / "transcript.jsonl").string()));
    take(run, line, output_bytes);
  }
  return run;
}

}  // namespace gyges::review
