#include "agent_runtime/model/replay_model.h"

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using nlohmann::json;

constexpr std::size_t max_file_bytes = std::size_t{1} << 30U;
constexpr std::string_view masked_mark = "\x01";
constexpr int max_masked = 1000;  // different words that one expression takes out of one text

std::string masked(std::string text, const std::vector<Pattern>& mask) {
  for (const auto& pattern : mask) {
    for (int i = 0; i < max_masked; ++i) {
      auto groups = pattern.groups_in(text);
      if (!groups || !*groups || (*groups)->front().empty()) break;
      const std::string word = (*groups)->front();
      if (word == masked_mark) break;
      for (auto at = text.find(word); at != std::string::npos;
           at = text.find(word, at + masked_mark.size()))
        text.replace(at, word.size(), masked_mark);
    }
  }
  return text;
}

std::string same_json(const std::string& text) {
  auto value = parse_json(text, "");
  return value ? value->dump(-1, ' ', false, json::error_handler_t::replace) : text;
}

class Facts {
 public:
  explicit Facts(const std::vector<Pattern>& mask) : mask_(mask) {}

  void add(const Message& message) {
    std::string role = role_name(message.role);
    std::string text = text_of(message);
    if (message.role == Role::tool)
      put("result of " + number_of(message.tool_call_id) + ": " + masked(std::move(text), mask_));
    else if (!text.empty())
      put(role + ": " + masked(std::move(text), mask_));
    for (const auto& part : message.content)
      if (part.kind == Part::Kind::image)
        put(role + " image " + part.media_type + " " + part.url + part.data);
    for (const auto& call : message.tool_calls)
      put("call " + number_of(call.id) + " " + (call.space.empty() ? "" : call.space + ".") +
          call.name + ": " +
          masked(call.custom ? call.arguments : same_json(call.arguments), mask_));
  }

  void add(const std::vector<ToolDeclaration>& tools) {
    std::vector<std::string> lines;
    for (const auto& tool : tools)
      lines.push_back("tool " + tool.space + "." + tool.name + ": " +
                      masked(tool.description, mask_) + " " + same_json(tool.parameters) +
                      tool.raw + tool.format);
    std::sort(lines.begin(), lines.end());
    for (auto& line : lines) put(std::move(line));
  }

  std::vector<std::string> take() && { return std::move(lines_); }

 private:
  void put(std::string line) { lines_.push_back(std::move(line)); }

  // Ids are the provider's choice; what counts is which call of the conversation it is.
  std::string number_of(const std::string& id) {
    auto [found, fresh] = numbers_.emplace(id, numbers_.size() + 1);
    return "#" + std::to_string(found->second);
  }

  const std::vector<Pattern>& mask_;
  std::vector<std::string> lines_;
  std::map<std::string, std::size_t> numbers_;
};

std::string body_of(const json& line, const char* key) {
  if (!line.contains(key)) return {};
  const json& value = line.at(key);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Status read_mask(const json& line, const std::string& place, Recording& recording) {
  for (const auto& expression : line.at("mask")) {
    if (!expression.is_string())
      return fail("read recording", place, "the mask is no list of expressions");
    GYGES_TRY(Pattern pattern,
              Pattern::compile(expression.get<std::string>(), Pattern::Case::respect)
                  .with_context("read recording " + place));
    recording.mask.push_back(std::move(pattern));
  }
  return ok();
}

Result<Exchange> read_exchange(const json& line, const std::string& place,
                               const std::vector<Pattern>& mask) {
  const Dialect* dialect = find_dialect(body_of(line, "dialect"));
  if (dialect == nullptr)
    return fail("read recording", place, "the line names no dialect",
                "write one of anthropic_messages, openai_chat, openai_responses, gemini");
  Exchange exchange;
  GYGES_TRY(exchange.request,
            dialect->parse_request(body_of(line, "path"), body_of(line, "request"))
                .with_context("read recording " + place));
  std::string reply = body_of(line, "reply");
  auto first = reply.find_first_not_of(" \t\r\n");
  bool whole = first != std::string::npos && reply[first] == '{';
  GYGES_TRY(exchange.reply, (whole ? dialect->parse_response(reply) : read_stream(*dialect, reply))
                                .with_context("read recording " + place));
  exchange.lines = facts_of(exchange.request, mask);
  return exchange;
}

std::string shown(const std::string& fact, std::size_t from) {
  constexpr std::size_t most = 120;
  std::size_t begin = from > 40 ? from - 40 : 0;
  std::string text = fact.substr(begin, most);
  return (begin > 0 ? "..." : "") + quoted(valid_utf8(text)) +
         (begin + most < fact.size() ? "..." : "");
}

std::string difference(const std::vector<std::string>& recorded,
                       const std::vector<std::string>& given) {
  auto [a, b] = std::mismatch(recorded.begin(), recorded.end(), given.begin(), given.end());
  if (a == recorded.end() && b == given.end()) return "they are the same";
  if (a == recorded.end()) return "the request goes on with " + shown(*b, 0);
  if (b == given.end()) return "the request lacks " + shown(*a, 0);
  auto at = static_cast<std::size_t>(
      std::mismatch(a->begin(), a->end(), b->begin(), b->end()).first - a->begin());
  return "recorded is " + shown(*a, at) + ", the request has " + shown(*b, at);
}

}  // namespace

std::vector<std::string> facts_of(const ModelRequest& request, const std::vector<Pattern>& mask) {
  Facts facts(mask);
  for (const auto& message : request.messages) facts.add(message);
  facts.add(request.tools);
  return std::move(facts).take();
}

Result<Recording> parse_recording(std::string_view text, const std::string& source) {
  Recording recording;
  std::size_t number = 0;
  while (!text.empty()) {
    auto end = text.find('\n');
    std::string_view one = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++number;
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string place = source + ":" + std::to_string(number);
    GYGES_TRY(json line, parse_json(one, place));
    if (line.is_object() && line.contains("mask") && recording.exchanges.empty()) {
      GYGES_CHECK(read_mask(line, place, recording));
      continue;
    }
    if (!line.is_object()) return fail("read recording", place, "the line is no object");
    GYGES_TRY(Exchange exchange, read_exchange(line, place, recording.mask));
    recording.exchanges.push_back(std::move(exchange));
  }
  if (recording.exchanges.empty())
    return fail("read recording", source, "it holds no exchange",
                "one JSON object a line: dialect, path, request, reply");
  return recording;
}

Result<Recording> load_recording(const std::filesystem::path& path) {
  GYGES_TRY(std::string text, read_file(path, max_file_bytes));
  return parse_recording(text, path.string());
}

std::string recorded_line(const Dialect& dialect, std::string_view path, std::string_view request,
                          std::string_view reply) {
  return json{{"dialect", dialect.name()}, {"path", path}, {"request", request}, {"reply", reply}}
             .dump(-1, ' ', false, json::error_handler_t::replace) +
         "\n";
}

Result<Reply> ReplayModel::complete(const Request& request) {
  ModelRequest whole;
  whole.messages = request.messages;
  whole.tools = request.tools;
  return answer(whole);
}

Result<Reply> ReplayModel::answer(const ModelRequest& request) {
  auto given = facts_of(request, recording_->mask);
  const auto& exchanges = recording_->exchanges;
  std::size_t nearest = 0;
  std::size_t most = 0;
  const Exchange* last = nullptr;
  for (std::size_t i = 0; i < exchanges.size(); ++i) {
    const auto& recorded = exchanges[i].lines;
    auto same = static_cast<std::size_t>(
        std::mismatch(recorded.begin(), recorded.end(), given.begin(), given.end()).first -
        recorded.begin());
    if (same == recorded.size() && same == given.size()) {
      last = &exchanges[i];
      if (!used_[i]) {
        used_[i] = true;
        break;
      }
    } else if (same > most) {
      most = same;
      nearest = i;
    }
  }
  if (last != nullptr) return last->reply;
  return fail("replay", "exchange " + std::to_string(nearest + 1) + " of the recording",
              "no recorded request says the same; against the nearest one, " +
                  difference(exchanges[nearest].lines, given),
              "record anew, or mask what changes from run to run");
}

}  // namespace gyges::model
