#include "base/json_document.h"

#include <map>
#include <mutex>
#include <set>

#include "base/assets.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_schema.h"
#include "base/text.h"

namespace gyges {
namespace {

constexpr std::size_t max_depth = 64;

std::string position_of(std::string_view text, std::size_t byte) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i < byte && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return std::to_string(line) + ":" + std::to_string(column);
}

// Refuses duplicate keys and absurd depth while nlohmann builds the value.
class StrictKeys {
 public:
  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (static_cast<std::size_t>(depth) > max_depth) too_deep_ = true;
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end && !open_.empty()) open_.pop_back();
    if (event == Event::key && !open_.empty()) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open_.back().insert(key).second && duplicate_.empty()) duplicate_ = key;
    }
    return true;
  }
  [[nodiscard]] const std::string& duplicate() const { return duplicate_; }
  [[nodiscard]] bool too_deep() const { return too_deep_; }

 private:
  std::vector<std::set<std::string>> open_;
  std::string duplicate_;
  bool too_deep_ = false;
};

struct LoadedSchema {
  nlohmann::json text;
  JsonSchema schema;
};

Result<const LoadedSchema*> schema_named(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, LoadedSchema, std::less<>> loaded;
  std::scoped_lock lock(mutex);
  if (auto found = loaded.find(name); found != loaded.end()) return &found->second;
  std::string file = "policies/schemas/" + std::string(name) + ".schema.json";
  auto text = asset(file);
  if (!text) return fail("find schema", file, "is not part of this build");
  LoadedSchema entry;
  entry.text = nlohmann::json::parse(*text);
  GYGES_TRY(entry.schema, JsonSchema::compile(entry.text, file));
  return &loaded.emplace(name, std::move(entry)).first->second;
}

// What the schema says about the place that `pointer` names, to tell the reader what is allowed.
std::string allowed_at(const nlohmann::json& schema, const std::string& pointer) {
  const nlohmann::json* node = &schema;
  auto resolve = [&](const nlohmann::json* at) {
    while (at != nullptr && at->is_object() && at->contains("$ref")) {
      const auto& ref = at->at("$ref").get_ref<const std::string&>();
      if (!ref.starts_with("#/")) return at;
      nlohmann::json::json_pointer target(ref.substr(1));
      if (!schema.contains(target)) return at;
      at = &schema.at(target);
    }
    return at;
  };
  node = resolve(node);
  for (const std::string& part : split(pointer, '/')) {
    if (part.empty()) continue;
    if (node->contains("properties") && node->at("properties").contains(part)) {
      node = resolve(&node->at("properties").at(part));
    } else if (node->contains("items") && node->at("items").is_object()) {
      node = resolve(&node->at("items"));
    } else if (node->contains("additionalProperties") &&
               node->at("additionalProperties").is_object()) {
      node = resolve(&node->at("additionalProperties"));
    } else {
      return {};
    }
  }
  std::string text;
  if (node->contains("enum")) text += "one of " + node->at("enum").dump();
  if (node->contains("type")) {
    const auto& type = node->at("type");
    text += (text.empty() ? "" : ", ") + std::string("type ") +
            (type.is_string() ? type.get<std::string>() : type.dump());
  }
  if (node->contains("properties")) {
    std::vector<std::string> keys;
    for (const auto& [key, ignored] : node->at("properties").items()) keys.push_back(key);
    text += (text.empty() ? "" : " with ") + std::string("the keys ") + join(keys, ", ");
  }
  if (node->contains("description"))
    text += (text.empty() ? "" : "; ") + node->at("description").get<std::string>();
  return text;
}

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text, std::string_view source) {
  StrictKeys keys;
  try {
    auto value = nlohmann::json::parse(text.begin(), text.end(), std::ref(keys));
    if (keys.too_deep())
      return fail("parse JSON", source,
                  "nested deeper than " + std::to_string(max_depth) + " levels",
                  "flatten the document");
    if (!keys.duplicate().empty())
      return fail("parse JSON", source,
                  "the key \"" + printable(keys.duplicate()) + "\" stands twice in one object",
                  "keep one of the two");
    return value;
  } catch (const nlohmann::json::parse_error& error) {
    std::size_t byte = error.byte > 0 ? error.byte - 1 : 0;
    std::string reason = error.what();
    // "[json.exception...] parse error at line 1, column 2: the reason, which may have colons too".
    if (auto cut = reason.find(": "); cut != std::string::npos) reason = reason.substr(cut + 2);
    return fail("parse JSON", std::string(source) + ":" + position_of(text, byte),
                printable(reason), "correct the JSON at this place");
  } catch (const nlohmann::json::exception& error) {
    return fail("parse JSON", source, printable(error.what()), "correct the JSON");
  }
}

Status validate_json(const nlohmann::json& value, std::string_view schema,
                     std::string_view source) {
  GYGES_TRY(const LoadedSchema* loaded, schema_named(schema));
  auto fault = loaded->schema.check(value);
  if (!fault) return ok();
  std::string allowed = allowed_at(loaded->text, fault->pointer);
  return fail("check " + std::string(schema),
              std::string(source) + " at " + printable(fault->pointer), fault->reason,
              allowed.empty() ? "see policies/schemas/" + std::string(schema) + ".schema.json"
                              : "allowed here: " + allowed);
}

Result<nlohmann::json> load_json(const std::filesystem::path& path, std::string_view schema) {
  GYGES_TRY(std::string text, read_file(path));
  GYGES_TRY(nlohmann::json value, parse_json(text, path.string()));
  GYGES_CHECK(validate_json(value, schema, path.string()));
  return value;
}

}  // namespace gyges
