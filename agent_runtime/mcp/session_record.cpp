#include "agent_runtime/mcp/session_record.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/isolation/degradation.h"
#include "sandbox/recorder/format/run_record.h"

namespace gyges::mcp {

using nlohmann::json;

SessionRecord::SessionRecord(recorder::BundleWriter bundle, episode::Transcript transcript)
    : bundle_(std::move(bundle)),
      transcript_(std::move(transcript)),
      run_id_(recorder::new_run_id()),
      started_at_(recorder::utc_timestamp()) {}

Result<SessionRecord> SessionRecord::create(const std::filesystem::path& directory) {
  GYGES_TRY(recorder::BundleWriter bundle, recorder::BundleWriter::create(directory));
  GYGES_TRY(episode::Transcript transcript, episode::Transcript::create(bundle.transcript_file()));
  return SessionRecord(std::move(bundle), std::move(transcript));
}

void SessionRecord::discard() {
  std::error_code ignored;
  std::filesystem::remove_all(bundle_.directory(), ignored);
}

Status SessionRecord::seal(const SessionOptions& options, const run::RunInputs& inputs,
                           const ClientInfo& client, const isolation::Enforcement& enforcement,
                           run::RecordEnd record, const std::string& reason, std::uint32_t calls) {
  json limits = json::array();
  bool wall_clock = false;
  for (const auto& hit : record.limits_hit) {
    limits.push_back({{"limit", hit.limit}, {"detail", valid_utf8(hit.detail)}});
    wall_clock = wall_clock || hit.limit == "wall_seconds";
  }
  for (const std::string& name : enforcement.degraded)
    record.warnings.push_back("degraded: " + isolation::degradation_words(name));
  bool failed = (record.failure || !reason.empty()) && !wall_clock;
  std::string kind = failed ? "error" : wall_clock ? "time_limit" : "agent_stopped";
  std::string words = record.failure && failed ? printable(record.failure->line())
                      : reason.empty()         ? "the client ended the session"
                                               : reason;
  // A transcript that is full ends without its last line; the seal stands for what is there.
  if (auto ended = transcript_.end(kind, ""); !ended)
    record.warnings.push_back(printable(ended.error().line()));
  auto duration = std::chrono::steady_clock::now() - begin_;
  const isolation::Policy& policy = inputs.policy;
  return bundle_.finish({
      {"$schema", "gyges/run.schema.json"},
      {"version", 1},
      {"run_id", run_id_},
      {"kind", "mcp_session"},
      {"started_at", started_at_},
      {"duration_ms", std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()},
      {"client",
       {{"name", client.name},
        {"version", client.version},
        {"protocol", std::string(name_of(client.revision))},
        {"transport", client.transport},
        {"calls", calls}}},
      {"scenario", nullptr},
      {"condition", json::object()},
      {"agent", nullptr},
      {"repeat", 0},
      {"seed", options.seed},
      {"policy",
       {{"name", policy.name},
        {"sha256", to_hex(sha256(isolation::policy_to_json(policy).dump()))}}},
      {"persona", inputs.persona ? json{{"name", inputs.persona->name},
                                        {"sha256", inputs.persona->sha256},
                                        {"as_of", inputs.persona->as_of}}
                                 : json()},
      {"host", recorder::host_facts()},
      {"exit", {{"kind", kind}, {"code", 0}, {"signal", 0}, {"reason", valid_utf8(words)}}},
      {"limits_hit", limits},
      {"coverage", record.coverage ? recorder::coverage_to_json(*record.coverage) : json()},
      {"lost", record.coverage ? record.coverage->counters.lost : 0},
      {"observables", nullptr},
      {"enforced",
       {{"landlock", enforcement.landlock},
        {"memory_bytes", enforcement.memory},
        {"processes", enforcement.processes},
        {"network", printable(enforcement.network)}}},
      {"degraded", enforcement.degraded},
      {"warnings", record.warnings},
  });
}

}  // namespace gyges::mcp
