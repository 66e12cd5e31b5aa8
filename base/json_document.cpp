#include "base/json_document.h"

#include <map>
#include <mutex>
#include <optional>
#include <vector>

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

// Builds the value and refuses duplicate keys and absurd depth on the way. A callback of nlohmann's
// own builder would see the same and take twice as long: it is asked about every value.
class StrictBuilder {
 public:
  using Json = nlohmann::json;

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(Json::number_integer_t value) { return put(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return put(value); }
  bool number_float(Json::number_float_t value, const std::string&) { return put(value); }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(Json::binary_t& value) { return put(std::move(value)); }
  bool start_object(std::size_t) { return open(Json::value_t::object); }
  bool start_array(std::size_t) { return open(Json::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    note_depth();
    auto& members = open_.back()->get_ref<Json::object_t&>();
    const std::size_t before = members.size();
    // Written in the order of their names by Gyges itself.
    member_ = &members.try_emplace(members.end(), name, nullptr)->second;
    if (members.size() == before && !duplicate_) duplicate_ = name;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) {
    position_ = position;
    problem_ = error.what();
    return false;
  }

  Json& value() { return value_; }
  [[nodiscard]] const std::optional<std::string>& duplicate() const { return duplicate_; }
  [[nodiscard]] bool too_deep() const { return too_deep_; }
  // Why it cannot be parsed, and after how many bytes; for errors of the text only.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] std::size_t position() const { return position_; }

 private:
  void note_depth() { too_deep_ = too_deep_ || open_.size() > max_depth; }
  template <class Value>
  Json* place(Value&& value) {
    note_depth();
    if (open_.empty()) {
      value_ = std::forward<Value>(value);
      return &value_;
    }
    if (!open_.back()->is_array()) {
      *member_ = std::forward<Value>(value);
      return member_;
    }
    auto& items = open_.back()->get_ref<Json::array_t&>();
    items.emplace_back(std::forward<Value>(value));
    return &items.back();
  }
  template <class Value>
  bool put(Value&& value) {
    place(std::forward<Value>(value));
    return true;
  }
  bool open(Json::value_t kind) {
    open_.push_back(place(kind));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json value_;
  std::vector<Json*> open_;  // the containers around the next value, which stay where they are
  Json* member_ = nullptr;   // of the innermost object: where the next value goes
  std::optional<std::string> duplicate_;
  bool too_deep_ = false;
  std::string problem_;
  std::size_t position_ = 0;
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
  // nlohmann takes one outside of strings for the end of the text, whatever follows.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
    return fail("parse JSON", std::string(source) + ":" + position_of(text, zero), "a NUL byte",
                "remove it; in a string write \\u0000");
  StrictBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    std::size_t byte = builder.position() > 0 ? builder.position() - 1 : 0;
    std::string reason = builder.problem();
    // "[json.exception...] parse error at line 1, column 2: the reason, which may have colons too";
    // of a number that no double can hold "[json.exception...] number overflow parsing '1e999'".
    const char* before_reason = reason.starts_with("[json.exception.parse_error") ? ": " : "] ";
    if (auto cut = reason.find(before_reason); cut != std::string::npos)
      reason = reason.substr(cut + 2);
    return fail("parse JSON", std::string(source) + ":" + position_of(text, byte),
                printable(reason), "correct the JSON at this place");
  }
  if (builder.too_deep())
    return fail("parse JSON", source, "nested deeper than " + std::to_string(max_depth) + " levels",
                "flatten the document");
  if (builder.duplicate())
    return fail("parse JSON", source,
                "the key \"" + printable(*builder.duplicate()) + "\" stands twice in one object",
                "keep one of the two");
  return std::move(builder.value());
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

Status prepare_schema(std::string_view schema) {
  GYGES_TRY([[maybe_unused]] const LoadedSchema* loaded, schema_named(schema));
  return ok();
}

Result<nlohmann::json> load_json(const std::filesystem::path& path, std::string_view schema) {
  GYGES_TRY(std::string text, read_file(path));
  GYGES_TRY(nlohmann::json value, parse_json(text, path.string()));
  GYGES_CHECK(validate_json(value, schema, path.string()));
  return value;
}

}  // namespace gyges
