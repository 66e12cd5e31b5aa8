#include "analysis/bundles/transcript.h"

#include <algorithm>
#include <map>

#include "analysis/bundles/json_lines.h"
#include "base/json.h"

namespace gyges::analysis {
namespace {

// A tool by which an agent tells or asks somebody. Third-party agents put the name of a server
// before it: "mcp__tools__mail", "tools-mail".
bool speaks(std::string_view tool) {
  for (std::string_view name : {"mail", "notify", "ask_human"})
    if (tool == name || (tool.size() > name.size() && tool.ends_with(name) &&
                         (tool[tool.size() - name.size() - 1] == '_' ||
                          tool[tool.size() - name.size() - 1] == '-')))
      return true;
  return false;
}

std::uint64_t unsigned_member(const nlohmann::json& object, const char* name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_member(object, name)));
}

void append_texts(const nlohmann::json& value, std::string& text) {
  if (value.is_string()) {
    text += value.get_ref<const std::string&>();
    text += '\n';
  } else if (value.is_structured()) {
    for (const nlohmann::json& part : value) append_texts(part, text);
  }
}

// Joins the lines of a transcript into calls as they come.
class TranscriptBuilder {
 public:
  Status take(const nlohmann::json& line) {
    std::string type = text_member(line, "type");
    if (type == "message") return take_message(line);
    if (type == "end") return take_end(line);
    if (type == "tool_requested" || type == "tool_decided" || type == "tool_executed")
      return take_call(line, type);
    if (type == "monitor") return take_verdict(line);
    // What a model no longer sees is no act of the agent.
    if (type == "context_cut") return ok();
    return fail("read transcript", type, "unknown type of line",
                "use the version of Gyges that wrote the bundle");
  }

  Transcript finish() {
    for (auto& [number, call] : calls_) transcript_.calls.push_back(std::move(call));
    return std::move(transcript_);
  }

 private:
  Status take_message(const nlohmann::json& line) {
    if (text_member(line, "role") != "assistant") return ok();
    ++transcript_.assistant_turns;
    close_statements(unsigned_member(line, "time_ns"));
    take_words(line);
    if (auto usage = line.find("usage"); usage != line.end() && usage->is_object()) {
      transcript_.input_tokens += unsigned_member(*usage, "input_tokens");
      transcript_.output_tokens += unsigned_member(*usage, "output_tokens");
      if (auto cost = usage->find("cost"); cost != usage->end() && cost->is_number())
        transcript_.cost += cost->get<double>();
    }
    return ok();
  }

  Status take_verdict(const nlohmann::json& line) {
    auto verdict = line.find("verdict");
    if (verdict == line.end() || !verdict->is_object()) return ok();
    MonitorScore& known = transcript_.monitors[text_member(*verdict, "monitor")];
    if (auto score = verdict->find("score"); score != verdict->end() && score->is_number())
      known.score = std::max(known.score.value_or(0), score->get<double>());
    if (auto flagged = verdict->find("flagged"); flagged != verdict->end() && *flagged == true)
      known.flagged = true;
    return ok();
  }

  void take_words(const nlohmann::json& line) {
    std::string words;
    if (auto content = line.find("content"); content != line.end() && content->is_array())
      for (const nlohmann::json& part : *content)
        if (part.is_object() && text_member(part, "type") == "text")
          words += text_member(part, "text") + "\n";
    std::int64_t call = 0;
    if (auto calls = line.find("tool_calls");
        calls != line.end() && calls->is_array() && !calls->empty() && calls->front().is_object())
      call = integer_member(calls->front(), "call");
    turn_ = integer_member(line, "turn");
    state(std::move(words), unsigned_member(line, "time_ns"), call);
  }

  void state(std::string text, std::uint64_t said_ns, std::int64_t call) {
    if (text.size() > most_said_at_once) text.resize(most_said_at_once);
    if (text.find_first_not_of(" \n") == std::string::npos || said_ + text.size() > most_said)
      return;
    said_ += text.size();
    transcript_.statements.push_back({said_ns, UINT64_MAX, static_cast<std::uint32_t>(turn_),
                                      static_cast<std::uint32_t>(call), std::move(text)});
  }

  void close_statements(std::uint64_t time_ns) {
    for (; open_ < transcript_.statements.size(); ++open_)
      transcript_.statements[open_].until_ns = time_ns;
  }

  Status take_end(const nlohmann::json& line) {
    transcript_.end_reason = text_member(line, "reason");
    transcript_.report = text_member(line, "report");
    transcript_.end_ns = unsigned_member(line, "time_ns");
    close_statements(transcript_.end_ns);
    return ok();
  }

  Status take_call(const nlohmann::json& line, const std::string& type) {
    std::int64_t number = integer_member(line, "call");
    if (number < 1 || number > UINT32_MAX)
      return fail("read transcript", "call", "is not a positive number");
    ToolCall& call = calls_[static_cast<std::uint32_t>(number)];
    call.call = static_cast<std::uint32_t>(number);
    if (type == "tool_requested") {
      call.name = text_member(line, "name");
      call.requested_ns = unsigned_member(line, "time_ns");
      if (auto arguments = line.find("arguments"); arguments != line.end()) {
        call.arguments = arguments->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        append_texts(*arguments, call.text);
        if (speaks(call.name)) state(call.text, call.requested_ns, number);
      }
    } else if (type == "tool_decided") {
      std::string decision = text_member(line, "decision");
      call.rejected = decision == "rejected" || decision == "terminated";
    } else {
      call.executed = true;
      call.executed_ns = unsigned_member(line, "time_ns");
      call.exit_code = integer_member(line, "exit_code");
    }
    return ok();
  }

  static constexpr std::size_t most_said = 8U << 20U;
  static constexpr std::size_t most_said_at_once = 64U << 10U;

  Transcript transcript_;
  std::int64_t turn_ = 0;
  std::size_t said_ = 0;
  std::size_t open_ = 0;  // first statement whose turn is not over
  std::map<std::uint32_t, ToolCall> calls_;
};

}  // namespace

Result<Transcript> load_transcript(const std::filesystem::path& file) {
  TranscriptBuilder builder;
  GYGES_CHECK(
      for_each_json_line(file, [&](const nlohmann::json& line) { return builder.take(line); }));
  return builder.finish();
}

}  // namespace gyges::analysis
