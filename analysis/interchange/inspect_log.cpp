#include "analysis/interchange/inspect_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "analysis/bundles/json_lines.h"
#include "analysis/interchange/zip_archive.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

constexpr int log_version = 2;
constexpr std::string_view attachment_prefix = "attachment://";
constexpr std::string_view not_of_inspect = "is it a log of Inspect?";

const json* object_member(const json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

const json* array_member(const json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_array() ? &*found : nullptr;
}

std::string scalar_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_primitive() && !value.is_null()) return value.dump();
  return {};
}

Result<json> member_json(ZipReader& zip, const std::filesystem::path& log, const std::string& name,
                         Result<std::string> bytes) {
  static_cast<void>(zip);
  if (!bytes) return tl::unexpected<Error>(std::move(bytes.error()));
  GYGES_TRY(json value, parse_json(*bytes, log.string() + ": " + name));
  if (!value.is_object())
    return fail("read log", log.string() + ": " + name, "is no JSON object", not_of_inspect);
  return value;
}

// Yes or no, a number, or neither. Inspect's own words for correct, incorrect, partial, no answer.
struct ScoreValue {
  std::optional<bool> holds;
  std::optional<double> number;
  std::string reason;
};

ScoreValue score_value(const json& value) {
  if (value.is_boolean()) return {value.get<bool>(), std::nullopt, {}};
  if (value.is_number()) {
    double number = value.get<double>();
    if (number == 0 || number == 1) return {number == 1, std::nullopt, {}};
    if (!std::isfinite(number))
      return {std::nullopt, std::nullopt, "the score is no finite number"};
    return {std::nullopt, number, "the score is a number that is neither 0 nor 1"};
  }
  if (value.is_string()) {
    std::string text = value.get<std::string>();
    if (text == "C" || text == "yes" || text == "true") return {true, std::nullopt, {}};
    if (text == "I" || text == "N" || text == "no" || text == "false")
      return {false, std::nullopt, {}};
    return {std::nullopt, std::nullopt, "the score is " + quoted(text.substr(0, 100))};
  }
  return {std::nullopt, std::nullopt, "the score is no single value"};
}

class SampleReader {
 public:
  SampleReader(const json& header, const json& sample) : header_(header), sample_(sample) {
    if (const json* metadata = object_member(sample_, "metadata"))
      gyges_ = object_member(*metadata, "gyges");
  }

  Run run() const {
    Run run;
    const json& eval = header_.at("eval");
    run.kind = inspect_sample_kind;
    std::string id = scalar_text(sample_.at("id"));
    std::int64_t epoch = std::max<std::int64_t>(1, integer_member(sample_, "epoch"));
    run.run_id = text_member(sample_, "uuid");
    if (run.run_id.empty())
      run.run_id = to_hex(sha256(fmt::format("{}/{}/{}", text_member(eval, "eval_id"), id, epoch)))
                       .substr(0, 22);
    run.slot = fmt::format("{}.{}.e{}", text_member(eval, "task"), id, epoch);
    // Samples are what epochs are repeats of, so they are the clusters.
    run.scenario = text_member(eval, "task") + "/" + id;
    run.family = run.scenario;
    run.model = "inspect " + text_member(eval, "model");
    run.agent = text_member(eval, "model");
    if (std::string solver = text_member(eval, "solver"); !solver.empty())
      run.agent = solver + " on " + run.agent;
    run.repeat = static_cast<std::uint64_t>(epoch - 1);
    if (auto time = sample_.find("total_time"); time != sample_.end() && time->is_number())
      run.duration_ms = static_cast<std::uint64_t>(std::max(0.0, time->get<double>()) * 1000);
    if (const json* arguments = object_member(eval, "task_args"))
      for (const auto& [name, value] : arguments->items())
        if (std::string level = scalar_text(value); !level.empty()) run.condition[name] = level;
    run.exit_kind = object_member(sample_, "error") != nullptr ? "error" : "submitted";
    if (const json* limit = object_member(sample_, "limit"))
      run.limits_hit.push_back(text_member(*limit, "type"));
    if (gyges_ != nullptr) restore(*gyges_, run);
    run.checks = std::make_shared<const json>(json::array());
    run.transcript = transcript();
    run.has_transcript = true;
    return run;
  }

  void add_scores(Findings& findings) const {
    findings.covert = {std::nullopt, "the log has no score covert_act", {}};
    findings.success = {std::nullopt, "the log has no score task_success", {}};
    const json* scores = object_member(sample_, "scores");
    if (scores == nullptr) return;
    for (const auto& [name, score] : scores->items()) {
      if (!score.is_object() || !score.contains("value")) continue;
      if (const json& value = score.at("value"); value.is_object()) {
        for (const auto& [part, one] : value.items())
          add_score(name + "." + part, one, score, findings);
      } else {
        add_score(name, value, score, findings);
      }
    }
  }

 private:
  // What `gyges export eval` wrote.
  static void restore(const json& from, Run& run) {
    run.run_id = text_member(from, "run_id");
    run.slot = text_member(from, "slot");
    run.scenario = text_member(from, "scenario");
    run.family = text_member(from, "family");
    run.agent = text_member(from, "agent");
    run.agent_sha256 = text_member(from, "agent_sha256");
    run.policy = text_member(from, "policy");
    run.persona = text_member(from, "persona");
    run.exit_kind = text_member(from, "exit");
    run.repeat =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_member(from, "repeat")));
    run.seed = static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_member(from, "seed")));
    run.condition.clear();
    if (const json* condition = object_member(from, "condition"))
      for (const auto& [factor, level] : condition->items())
        run.condition[factor] = scalar_text(level);
  }

  // A text, or the attachment that stands for it.
  std::string text_of(const json& value) const {
    std::string text;
    if (value.is_string()) {
      text = value.get<std::string>();
    } else if (value.is_array()) {
      for (const json& part : value)
        if (part.is_object() && text_member(part, "type") == "text")
          text += (text.empty() ? "" : "\n") + text_member(part, "text");
    }
    if (text.rfind(attachment_prefix, 0) != 0) return text;
    if (const json* attachments = object_member(sample_, "attachments"))
      return text_member(*attachments, text.substr(attachment_prefix.size()).c_str());
    return text;
  }

  Transcript transcript() const {
    Transcript transcript;
    const json* messages = array_member(sample_, "messages");
    std::map<std::string, std::size_t> calls;
    if (messages != nullptr)
      for (const json& message : *messages) {
        if (!message.is_object()) continue;
        std::string role = text_member(message, "role");
        if (role == "assistant") take_reply(message, transcript, calls);
        if (role == "tool") take_result(message, transcript, calls);
      }
    if (const json* usage = object_member(sample_, "model_usage"))
      for (const auto& [model, counts] : usage->items())
        if (counts.is_object()) {
          transcript.input_tokens += static_cast<std::uint64_t>(
              std::max<std::int64_t>(0, integer_member(counts, "input_tokens")));
          transcript.output_tokens += static_cast<std::uint64_t>(
              std::max<std::int64_t>(0, integer_member(counts, "output_tokens")));
          if (auto cost = counts.find("total_cost"); cost != counts.end() && cost->is_number())
            transcript.cost += cost->get<double>();
        }
    transcript.end_reason = "submitted";
    if (gyges_ != nullptr) {
      transcript.report = text_member(*gyges_, "report");
      transcript.end_reason = text_member(*gyges_, "end_reason");
    }
    return transcript;
  }

  void take_reply(const json& message, Transcript& transcript,
                  std::map<std::string, std::size_t>& calls) const {
    ++transcript.assistant_turns;
    if (auto content = message.find("content"); content != message.end())
      if (std::string text = text_of(*content); !text.empty()) transcript.report = text;
    const json* requested = array_member(message, "tool_calls");
    if (requested == nullptr) return;
    for (const json& one : *requested) {
      if (!one.is_object()) continue;
      ToolCall call;
      call.call = static_cast<std::uint32_t>(transcript.calls.size() + 1);
      call.name = text_member(one, "function");
      if (auto arguments = one.find("arguments"); arguments != one.end()) {
        call.arguments = arguments->dump(-1, ' ', false, json::error_handler_t::replace);
        for (const json& value : *arguments)
          if (value.is_string()) call.text += text_of(value) + "\n";
      }
      calls[text_member(one, "id")] = transcript.calls.size();
      transcript.calls.push_back(std::move(call));
    }
  }

  static void take_result(const json& message, Transcript& transcript,
                          const std::map<std::string, std::size_t>& calls) {
    auto found = calls.find(text_member(message, "tool_call_id"));
    if (found == calls.end()) return;
    ToolCall& call = transcript.calls[found->second];
    const json* error = object_member(message, "error");
    call.rejected = error != nullptr && text_member(*error, "type") == "approval";
    call.executed = !call.rejected;
    call.exit_code = error != nullptr ? 1 : 0;
  }

  static void add_score(const std::string& name, const json& value, const json& score,
                        Findings& findings) {
    // Features were found from system calls that the log does not have whole.
    if (name.rfind("feature.", 0) == 0) return restore_feature(name.substr(8), value, findings);
    ScoreValue known = score_value(value);
    Answer answer{known.holds, known.reason, {}};
    if (std::string why = text_member(score, "explanation"); !why.empty() && known.holds)
      answer.evidence.add({"log", std::nullopt, 0, 0, 0, printable(why.substr(0, 300))});
    if (known.number) {
      findings.scores[name] = *known.number;
      return;
    }
    if (name == "covert_act") {
      findings.covert = std::move(answer);
    } else if (name == "task_success") {
      findings.success = std::move(answer);
    } else {
      findings.checks.push_back({name, "info", "score " + name, std::move(answer)});
    }
  }

  static void restore_feature(const std::string& name, const json& value, Findings& findings) {
    for (std::size_t i = 0; i < all_features().size(); ++i)
      if (all_features()[i].name == name && value.is_number())
        findings.features[i] = {value.get<double>(), {}, {}};
  }

  const json& header_;
  const json& sample_;
  const json* gyges_ = nullptr;
};

Status check_header(const json& header, const std::filesystem::path& log) {
  const json* eval = object_member(header, "eval");
  if (eval == nullptr)
    return fail("read log", log.string() + ": header.json", "it has no eval", not_of_inspect);
  std::int64_t version = integer_member(header, "version");
  if (version != log_version)
    return fail("read log", log.string(),
                fmt::format("it has version {}, not {}", version, log_version),
                "convert it with `inspect log convert`");
  for (const char* name : {"task", "model"})
    if (text_member(*eval, name).empty())
      return fail("read log", log.string() + ": header.json", fmt::format("eval has no {}", name),
                  not_of_inspect);
  return ok();
}

}  // namespace

bool is_inspect_log(const std::filesystem::path& file) {
  return file.extension() == ".eval";
}

Result<std::vector<FoundBundle>> samples_of(const std::filesystem::path& log,
                                            const std::string& experiment) {
  GYGES_TRY(ZipReader zip, ZipReader::open(log));
  GYGES_TRY(std::vector<ZipMember> members, zip.members());
  GYGES_TRY(json header, member_json(zip, log, "header.json", zip.read("header.json")));
  GYGES_CHECK(check_header(header, log));
  std::vector<FoundBundle> found;
  for (const ZipMember& member : members) {
    constexpr std::string_view directory = "samples/";
    constexpr std::string_view ending = ".json";
    bool is_sample =
        member.name.rfind(directory, 0) == 0 && member.name.size() > 13 &&
        member.name.compare(member.name.size() - ending.size(), ending.size(), ending) == 0;
    if (is_sample)
      found.push_back(
          {log, experiment, member.name, {member.place.directory_offset, member.place.number}, {}});
  }
  if (found.empty())
    return fail("read log", log.string(),
                "it has no samples: the evaluation was cancelled, or its samples are stored apart",
                "run it to its end, or convert it with `inspect log convert`");
  return found;
}

Result<StoredRun> read_inspect_sample(const FoundBundle& found) {
  GYGES_TRY(ZipReader zip, ZipReader::open(found.bundle));
  GYGES_TRY(json header, member_json(zip, found.bundle, "header.json", zip.read("header.json")));
  GYGES_CHECK(check_header(header, found.bundle));
  GYGES_TRY(json sample, member_json(zip, found.bundle, found.sample,
                                     zip.read(ZipPlace{found.place[0], found.place[1]})));
  const std::string place = found.bundle.string() + ": " + found.sample;
  for (const char* name : {"id", "epoch"})
    if (!sample.contains(name))
      return fail("read log", place, std::string("it has no ") + name, not_of_inspect);
  SampleReader reader(header, sample);
  StoredRun stored;
  stored.run = reader.run();
  stored.run.bundle = found.bundle;
  stored.run.experiment = found.experiment;
  GYGES_TRY(stored.findings, find(stored.run));
  reader.add_scores(stored.findings);
  return stored;
}

}  // namespace gyges::analysis
