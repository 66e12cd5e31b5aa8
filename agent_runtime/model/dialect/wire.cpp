#include "agent_runtime/model/dialect/wire.h"

#include <algorithm>
#include <ctime>

#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::model::wire {

const json& at(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

std::string text_at(const json& object, const char* key) {
  const json& value = at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

namespace {

// The four digits after "\\u" at `at`, or -1.
int escaped_unit(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (std::size_t i = at + 2; i < at + 6; ++i) {
    char c = text[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool is_high(int unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}

bool is_low(int unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

// Empty where there is none.
std::string without_lone_surrogates(std::string_view text) {
  std::string made;
  std::size_t kept = 0;
  for (std::size_t at = text.find('\\'); at < text.size(); at = text.find('\\', at)) {
    int unit = escaped_unit(text, at);
    if (is_high(unit) && is_low(escaped_unit(text, at + 6))) {
      at += 12;
    } else if (is_high(unit) || is_low(unit)) {
      made += text.substr(kept, at - kept);
      made += "\\ufffd";
      kept = at += 6;
    } else {
      at += 2;
    }
  }
  if (kept == 0) return {};
  return made += text.substr(kept);
}

}  // namespace

Result<json> parse_reply_json(std::string_view text, const std::string& source) {
  auto value = parse_json(text, source);
  if (value) return value;
  std::string paired = without_lone_surrogates(text);
  std::string repaired = valid_utf8(paired.empty() ? text : paired);
  return repaired == text ? std::move(value) : parse_json(repaired, source);
}

bool says_one_of(std::string_view message, std::span<const std::string_view> words) {
  // What is of interest stands at the beginning; some servers append the whole prompt.
  std::string text(message.substr(0, 4096));
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  for (std::string_view word : words)
    if (text.find(word) != std::string::npos) return true;
  return false;
}

std::optional<std::uint64_t> count_at(const json& object, const char* key) {
  const json& value = at(object, key);
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  return std::nullopt;
}

std::uint64_t count_or_0(const json& object, const char* key) {
  return count_at(object, key).value_or(0);
}

std::optional<double> number_at(const json& object, const char* key) {
  const json& value = at(object, key);
  if (value.is_number()) return value.get<double>();
  return std::nullopt;
}

std::optional<bool> flag_at(const json& object, const char* key) {
  const json& value = at(object, key);
  if (value.is_boolean()) return value.get<bool>();
  return std::nullopt;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json parsed(const std::string& text) {
  auto value = parse_json(text, "");
  return value ? std::move(*value) : json();
}

tl::unexpected<Error> bad(std::string_view place, std::string_view reason) {
  return fail("read message of model API", place, reason,
              "check that both sides speak the same dialect");
}

std::string rest_of(const json& object, std::initializer_list<const char*> known) {
  json rest = json::object();
  for (const auto& [key, value] : object.items()) {
    bool is_known = std::any_of(known.begin(), known.end(),
                                [&name = key](const char* one) { return name == one; });
    if (!is_known && !value.is_null()) rest[key] = value;
  }
  return rest.empty() ? std::string() : dump(rest);
}

namespace {

// Members of `from` that `into` lacks, in objects inside it too. The depth is that of parse_json().
void add_missing(json& into, json from) {
  for (auto& [key, value] : from.items()) {
    if (!into.contains(key))
      into[key] = std::move(value);
    else if (into[key].is_object() && value.is_object())
      add_missing(into[key], std::move(value));
  }
}

}  // namespace

void put_extra(json& object, const std::string& extra, const std::string& origin,
               std::string_view dialect, Losses& losses, const std::string& place) {
  if (extra.empty()) return;
  json members = parsed(extra);
  if (!members.is_object()) return;
  if (origin != dialect) {
    for (const auto& [key, ignored] : members.items())
      lose(losses, place, "\"" + key + "\" of " + origin);
    return;
  }
  add_missing(object, std::move(members));
}

json arguments_of(const ToolCall& call, Losses& losses, const std::string& place) {
  if (call.custom) {
    lose(losses, place, "free-text input, sent as the argument \"input\"");
    return {{"input", call.arguments}};
  }
  json value = call.fault.empty() ? parsed(call.arguments) : json();
  if (value.is_object()) return value;
  if (call.fault.empty() && call.arguments.empty()) return json::object();
  lose(losses, place, "arguments that are no JSON object, sent as \"invalid_arguments\"");
  return {{"invalid_arguments", call.arguments}};
}

json parameters_of(const ToolDeclaration& tool, Losses& losses, const std::string& place) {
  if (tool.kind == ToolDeclaration::Kind::custom) {
    lose(losses, place, "free-text tool, declared with one argument \"input\"");
    return {{"type", "object"},
            {"properties", {{"input", {{"type", "string"}}}}},
            {"required", json::array({"input"})}};
  }
  json schema = tool.parameters.empty() ? json() : parsed(tool.parameters);
  if (schema.is_object()) return schema;
  return {{"type", "object"}, {"properties", json::object()}};
}

std::string description_of(const ToolDeclaration& tool) {
  if (tool.format.empty()) return tool.description;
  std::string definition = text_at(parsed(tool.format), "definition");
  if (definition.empty()) return tool.description;
  return tool.description + "\n\nThe input follows this grammar:\n" + definition;
}

std::string flat_name(const std::string& space, const std::string& name) {
  return space.empty() ? name : space + "__" + name;
}

std::string url_of_image(const Part& image) {
  if (!image.url.empty()) return image.url;
  return "data:" + (image.media_type.empty() ? "image/png" : image.media_type) + ";base64," +
         image.data;
}

Part image_of_url(const std::string& url) {
  Part part;
  part.kind = Part::Kind::image;
  auto comma = url.find(";base64,");
  if (url.starts_with("data:") && comma != std::string::npos) {
    part.media_type = url.substr(5, comma - 5);
    part.data = url.substr(comma + 8);
  } else {
    part.url = url;
  }
  return part;
}

void lose_foreign(const Part& part, std::string_view dialect, Losses& losses,
                  const std::string& place) {
  if (part.origin.empty() || part.origin == dialect) return;
  if (!part.signature.empty()) lose(losses, place, "signature of " + part.origin);
  if (part.kind == Part::Kind::reasoning && !part.data.empty())
    lose(losses, place, "encrypted reasoning of " + part.origin);
}

void lose_foreign(const ToolCall& call, std::string_view dialect, Losses& losses,
                  const std::string& place) {
  if (call.origin.empty() || call.origin == dialect) return;
  if (!call.signature.empty()) lose(losses, place, "signature of " + call.origin);
}

std::string_view path_of(std::string_view path) {
  path = path.substr(0, path.find_first_of("?#"));
  while (path.ends_with('/')) path.remove_suffix(1);
  return path;
}

WireReply json_reply(int status, const json& body) {
  return {status, {"Content-Type: application/json"}, dump(body)};
}

std::string made_id(std::string_view prefix, std::string_view content) {
  return std::string(prefix) + to_hex(sha256(content)).substr(0, 24);
}

std::string reply_id(std::string_view prefix, const std::string& id, const ModelRequest& request) {
  if (!id.empty() && id.starts_with(prefix)) return id;
  if (!id.empty()) return made_id(prefix, id);
  Sha256Hasher hasher;
  for (const auto& message : request.messages) {
    hasher.update(role_name(message.role));
    hasher.update(message.tool_call_id);
    for (const auto& part : message.content) hasher.update(part.text);
    for (const auto& call : message.tool_calls) hasher.update(call.id + call.arguments);
  }
  return std::string(prefix) + to_hex(hasher.finish()).substr(0, 24);
}

void settle_positions(Message& message) {
  for (auto& call : message.tool_calls)
    if (call.position >= message.content.size()) call.position = ToolCall::at_end;
}

std::int64_t created_at(const json& object, const char* key) {
  double time = number_at(object, key).value_or(0);
  return time >= 0 && time < 1e12 ? static_cast<std::int64_t>(time) : 0;
}

std::int64_t created_or_now(std::int64_t created) {
  return created != 0 ? created : static_cast<std::int64_t>(std::time(nullptr));
}

void BlockOrder::add(const Delta& delta, std::vector<Delta>& ready) {
  using Kind = Delta::Kind;
  bool of_block = delta.kind == Kind::open || delta.kind == Kind::text || delta.kind == Kind::close;
  if (delta.kind == Kind::stop || delta.kind == Kind::error) {
    for (; current_ < blocks_.size(); ++current_) {
      Waiting& block = blocks_[current_];
      for (auto& one : block.deltas) ready.push_back(std::move(one));
      if (block.closed) continue;
      Delta close;
      close.kind = Kind::close;
      close.block = current_;
      close.is_call = block.is_call;
      ready.push_back(std::move(close));
    }
  }
  if (!of_block) {
    ready.push_back(delta);
    return;
  }
  if (delta.kind == Kind::open) blocks_.resize(std::max(blocks_.size(), delta.block + 1));
  if (delta.block >= blocks_.size() || delta.block < current_) return;
  Waiting& block = blocks_[delta.block];
  block.is_call = delta.is_call;
  block.closed = block.closed || delta.kind == Kind::close;
  if (delta.block != current_) {
    block.deltas.push_back(delta);
    return;
  }
  ready.push_back(delta);
  while (current_ < blocks_.size() && blocks_[current_].closed) {
    if (++current_ == blocks_.size()) break;
    for (auto& one : blocks_[current_].deltas) ready.push_back(std::move(one));
    blocks_[current_].deltas.clear();
  }
}

}  // namespace gyges::model::wire
