#include "agent_runtime/experiment/worker_protocol.h"

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::experiment {
namespace {

using nlohmann::json;

constexpr std::size_t max_text = 4096;

std::string bounded(const std::string& text) {
  return valid_utf8(text.substr(0, max_text));
}

json error_to_json(const Error& error) {
  json context = json::array();
  for (const std::string& step : error.context) {
    if (context.size() == 16) break;
    context.push_back(bounded(step));
  }
  return {{"step", bounded(error.step)},
          {"object", bounded(error.object)},
          {"reason", bounded(error.reason)},
          {"cure", bounded(error.cure)},
          {"code", error.code},
          {"context", context}};
}

Error error_from_json(const json& value) {
  Error error;
  error.step = value.at("step").get<std::string>();
  error.object = value.at("object").get<std::string>();
  error.reason = value.at("reason").get<std::string>();
  error.cure = value.at("cure").get<std::string>();
  error.code = value.at("code").get<int>();
  error.context = value.at("context").get<std::vector<std::string>>();
  return error;
}

json outcome_to_json(const episode::EpisodeOutcome& outcome) {
  json limits = json::array();
  for (const std::string& limit : outcome.limits_hit) {
    if (limits.size() == 64) break;
    limits.push_back(bounded(limit));
  }
  return {{"run_id", outcome.run_id},
          {"exit_kind", outcome.exit_kind},
          {"exit_reason", bounded(outcome.exit_reason)},
          {"limits_hit", limits},
          {"lost", outcome.lost},
          {"made_ahead", outcome.made_ahead}};
}

episode::EpisodeOutcome outcome_from_json(const json& value) {
  episode::EpisodeOutcome outcome;
  outcome.run_id = value.at("run_id").get<std::string>();
  outcome.exit_kind = value.at("exit_kind").get<std::string>();
  outcome.exit_reason = value.at("exit_reason").get<std::string>();
  outcome.limits_hit = value.at("limits_hit").get<std::vector<std::string>>();
  outcome.lost = value.at("lost").get<std::uint64_t>();
  outcome.made_ahead = value.at("made_ahead").get<bool>();
  return outcome;
}

struct MessageToJson {
  json operator()(const WorkerReady& ready) const {
    return {{"type", "ready"}, {"protocol", worker_protocol_version}, {"backend", ready.backend}};
  }
  json operator()(const WorkerRefused& refused) const {
    return {{"type", "refused"}, {"error", error_to_json(refused.error)}};
  }
  json operator()(const RunFinishing& finishing) const {
    return {{"type", "finishing"}, {"slot", finishing.slot}};
  }
  json operator()(const RunDone& done) const {
    return {{"type", "done"}, {"slot", done.slot}, {"outcome", outcome_to_json(done.outcome)}};
  }
  json operator()(const RunFailed& failed) const {
    return {{"type", "failed"}, {"slot", failed.slot}, {"error", error_to_json(failed.error)}};
  }
};

tl::unexpected<Error> not_a_message(std::string_view line, std::string_view reason) {
  return fail("read message", quoted(line.substr(0, 80)), reason,
              "runner and worker must be the same build of Gyges");
}

// Decodes with `read`, whose type and key errors become one Error.
template <class T, class Read>
Result<T> decode(std::string_view line, Read read) {
  if (line.size() > max_message_bytes) return not_a_message(line, "is longer than 1 MiB");
  GYGES_TRY(json message, parse_json(line, "message"));
  try {
    return read(message);
  } catch (const json::exception& error) {
    return not_a_message(line, printable(error.what()));
  }
}

}  // namespace

std::string encode(const Assignment& assignment) {
  const episode::EpisodeRequest& request = assignment.request;
  json text{{"scenario", request.scenario.string()},
            {"agent", request.agent.string()},
            {"condition", request.condition},
            {"repeat", request.repeat},
            {"seed", request.seed},
            {"out", request.out.string()}};
  if (request.policy) text["policy"] = *request.policy;
  if (request.day) text["day"] = *request.day;
  return json{{"type", "run"}, {"slot", assignment.slot}, {"request", text}}.dump() + "\n";
}

std::string encode(const WorkerMessage& message) {
  return std::visit(MessageToJson{}, message).dump() + "\n";
}

Result<Assignment> decode_assignment(std::string_view line) {
  return decode<Assignment>(line, [&](const json& message) -> Result<Assignment> {
    if (message.at("type") != "run") return not_a_message(line, "is not of type run");
    const json& text = message.at("request");
    Assignment assignment;
    assignment.slot = message.at("slot").get<std::string>();
    assignment.request.scenario = text.at("scenario").get<std::string>();
    assignment.request.agent = text.at("agent").get<std::string>();
    assignment.request.condition = text.at("condition").get<std::map<std::string, std::string>>();
    assignment.request.repeat = text.at("repeat").get<std::uint32_t>();
    assignment.request.seed = text.at("seed").get<std::uint64_t>();
    assignment.request.out = text.at("out").get<std::string>();
    if (text.contains("policy")) assignment.request.policy = text.at("policy").get<std::string>();
    if (text.contains("day")) assignment.request.day = text.at("day").get<std::string>();
    return assignment;
  });
}

Result<WorkerMessage> decode_worker_message(std::string_view line) {
  return decode<WorkerMessage>(line, [&](const json& message) -> Result<WorkerMessage> {
    auto type = message.at("type").get<std::string>();
    if (type == "ready") {
      if (message.at("protocol") != worker_protocol_version)
        return not_a_message(line, "speaks another version of the protocol");
      return WorkerReady{message.at("backend").get<std::string>()};
    }
    if (type == "refused") return WorkerRefused{error_from_json(message.at("error"))};
    if (type == "finishing") return RunFinishing{message.at("slot").get<std::string>()};
    if (type == "done")
      return RunDone{message.at("slot").get<std::string>(),
                     outcome_from_json(message.at("outcome"))};
    if (type == "failed")
      return RunFailed{message.at("slot").get<std::string>(), error_from_json(message.at("error"))};
    return not_a_message(line, "is of no known type");
  });
}

}  // namespace gyges::experiment
