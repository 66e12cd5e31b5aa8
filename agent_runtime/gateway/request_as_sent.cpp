#include "agent_runtime/gateway/request_as_sent.h"

#include <algorithm>
#include <iterator>

#include "agent_runtime/gateway/json_text.h"
#include "base/json.h"

namespace gyges::gateway {
namespace {

using model::Dialect;
using model::ToolDeclaration;

// Members by which a provider is told to reach out on its own.
constexpr const char* reaching_members[] = {"mcp_servers", "web_search_options", "web_search",
                                            "container"};

// Members whose value, or its member "url", is an address of content.
constexpr const char* addressed_members[] = {"image_url", "file_url", "video_url", "audio_url",
                                             "fileUri",   "file_uri", "source"};
// Members that a provider takes for data, whatever stands in them.
constexpr std::string_view data_members[] = {"tools",     "functions",  "args",        "response",
                                             "arguments", "parameters", "input_schema"};
constexpr std::size_t most_addresses = 16;
constexpr std::size_t shown_address_bytes = 200;

bool is_address(const nlohmann::json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  constexpr std::string_view inside = "data:";
  const bool held =
      std::equal(inside.begin(), inside.end(), text.begin(),
                 text.begin() + std::min(text.size(), inside.size()),
                 [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
  return !text.empty() && !held;
}

// Whether some member of `body`, which is JSON, may have one of the names above. A name in a text
// has its quotes escaped; a letter of a name can be, too.
bool may_hold_address(std::string_view body) {
  for (const char* name : addressed_members)
    if (body.find('"' + std::string(name) + '"') != std::string_view::npos) return true;
  for (const char* escape : {"\\u004", "\\u005", "\\u006", "\\u007"})
    if (body.find(escape) != std::string_view::npos) return true;
  return false;
}

bool is_hosted(const ToolDeclaration& tool) {
  return tool.kind == ToolDeclaration::Kind::hosted;
}

// One declaration, read as the dialect reads it in a request.
std::optional<std::vector<ToolDeclaration>> declared_by(const Dialect& dialect,
                                                        std::string_view target,
                                                        std::string_view declaration) {
  std::string body =
      R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":"-"}],"input":"-",)"
      R"("contents":[{"role":"user","parts":[{"text":"-"}]}],"tools":[)";
  body.append(declaration).append("]}");
  auto request = dialect.parse_request(target, body);
  if (!request) return std::nullopt;
  return std::move(request->tools);
}

// The declarations without hosted ones; nullopt where one holds both and cannot be parted.
std::optional<std::string> without_hosted(const Dialect& dialect, std::string_view target,
                                          std::string_view tools) {
  auto declarations = members_of(tools);
  if (!declarations) return std::nullopt;
  std::vector<JsonMember> kept;
  std::vector<std::string> parted;
  parted.reserve(declarations->size());
  for (JsonMember& one : *declarations) {
    auto read = declared_by(dialect, target, one.value);
    if (!read) return std::nullopt;
    auto hosted = std::count_if(read->begin(), read->end(), is_hosted);
    if (hosted == 0) {
      kept.push_back(std::move(one));
    } else if (hosted != static_cast<std::ptrdiff_t>(read->size())) {
      // Gemini declares functions and hosted tools as members of one object.
      auto members = members_of(one.value);
      if (!members || dialect.name() != "gemini") return std::nullopt;
      std::erase_if(*members, [](const JsonMember& member) {
        return member.name != "functionDeclarations" && member.name != "function_declarations";
      });
      parted.push_back(object_with(*members));
      one.value = parted.back();
      kept.push_back(std::move(one));
    }
  }
  return array_with(kept);
}

}  // namespace

std::optional<std::string> body_as_sent(const Dialect& dialect, std::string_view target,
                                        std::string_view body, const std::string& model,
                                        bool has_hosted) {
  if (has_member_twice(body)) return std::nullopt;
  std::string sent(body);
  auto change = [&](const char* name, auto&& into) {
    auto members = members_of(sent);
    if (!members) return false;
    auto found = std::find_if(members->begin(), members->end(),
                              [&](const JsonMember& member) { return member.name == name; });
    if (found == members->end()) return true;
    std::optional<std::string> changed = into(*members, found);
    if (!changed) return false;
    sent = std::move(*changed);
    return true;
  };
  using Members = std::vector<JsonMember>;
  using Found = Members::iterator;
  if (!model.empty() && dialect.name() != "gemini" &&
      !change("model", [&](Members&, Found found) -> std::optional<std::string> {
        return replaced(sent, found->value, nlohmann::json(model).dump());
      }))
    return std::nullopt;
  if (!has_hosted) return sent;
  auto read = dialect.parse_request(target, sent);
  if (!read) return std::nullopt;
  if (take_hosted_tools(*read).empty()) return sent;
  if (!change("tools", [&](Members& members, Found found) -> std::optional<std::string> {
        auto kept = without_hosted(dialect, target, found->value);
        if (!kept) return std::nullopt;
        if (*kept != "[]") return replaced(sent, found->value, *kept);
        members.erase(found);
        return object_with(members);
      }))
    return std::nullopt;
  for (const char* name : reaching_members)
    if (!change(name, [&](Members& members, Found found) -> std::optional<std::string> {
          members.erase(found);
          return object_with(members);
        }))
      return std::nullopt;
  read = dialect.parse_request(target, sent);
  if (!read || !take_hosted_tools(*read).empty()) return std::nullopt;
  return sent;
}

std::vector<std::string> headers_as_sent(const HttpRequest& request) {
  std::vector<std::string> lines;
  for (const char* name : {"anthropic-version", "anthropic-beta", "openai-beta"}) {
    std::string_view value = request.header(name);
    if (value.empty() || value.find_first_of("\r\n") != std::string_view::npos) continue;
    lines.push_back(std::string(name) + ": " + std::string(value));
  }
  return lines;
}

bool wants_array(const Dialect& dialect, std::string_view target) {
  if (dialect.name() != "gemini") return false;
  auto mark = target.find('?');
  while (mark != std::string_view::npos) {
    std::string_view rest = target.substr(mark + 1);
    if (rest.substr(0, rest.find('&')) == "alt=sse") return false;
    mark = target.find('&', mark + 1);
  }
  return true;
}

std::vector<std::string> addresses_to_fetch(std::string_view body) {
  using Json = nlohmann::json;
  std::vector<std::string> found;
  // Nearly all requests have none, and are read once only, by their dialect.
  if (!may_hold_address(body)) return found;
  const Json document = Json::parse(body, nullptr, false);
  std::vector<const Json*> left{&document};  // no recursion: the body may be deep
  while (!left.empty() && found.size() < most_addresses) {
    const Json& value = *left.back();
    left.pop_back();
    if (value.is_array())
      for (const Json& item : value) left.push_back(&item);
    if (!value.is_object()) continue;
    for (const char* name : addressed_members) {
      auto member = value.find(name);
      if (member == value.end()) continue;
      const Json& address =
          member->is_object() && member->contains("url") ? member->at("url") : *member;
      // A bare text called "source" is no address.
      if (!is_address(address) || (member->is_string() && std::string_view(name) == "source"))
        continue;
      found.push_back(std::string(name) + " " +
                      address.get_ref<const std::string&>().substr(0, shown_address_bytes));
    }
    const auto type = value.find("type");
    const bool is_call = type != value.end() && type->is_string() &&
                         type->get_ref<const std::string&>().ends_with("tool_use");
    for (const auto& [name, member] : value.items())
      if ((member.is_object() || member.is_array()) && !(is_call && name == "input") &&
          std::find(std::begin(data_members), std::end(data_members), name) ==
              std::end(data_members))
        left.push_back(&member);
  }
  return found;
}

std::vector<std::string> take_hosted_tools(model::ModelRequest& request) {
  std::vector<std::string> names;
  std::erase_if(request.tools, [&](const ToolDeclaration& tool) {
    if (is_hosted(tool)) names.push_back(tool.name);
    return is_hosted(tool);
  });
  auto extra = nlohmann::json::parse(request.extra, nullptr, false);
  if (!extra.is_object()) return names;
  bool changed = false;
  for (const char* member : reaching_members) {
    if (!extra.contains(member) || extra.at(member).is_null()) continue;
    names.emplace_back(member);
    extra.erase(member);
    changed = true;
  }
  if (changed) request.extra = extra.empty() ? std::string() : extra.dump();
  return names;
}

}  // namespace gyges::gateway
