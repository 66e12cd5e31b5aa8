#include "base/json_schema.h"

#include <array>
#include <cmath>

#include "base/json_schema_nodes.h"
#include "base/text.h"

namespace gyges {
namespace {

using nlohmann::json;

constexpr int max_schema_depth = 200;  // references count
constexpr std::size_t max_nodes = 100'000;
constexpr std::size_t max_expression_bytes = 4096;

constexpr std::array<std::pair<std::string_view, unsigned>, 7> type_names = {{
    {"null", type_null},
    {"boolean", type_boolean},
    {"integer", type_integer},
    {"number", type_number | type_integer},
    {"string", type_string},
    {"array", type_array},
    {"object", type_object},
}};

// Keywords whose meaning depends on more than one schema and one value.
constexpr std::array<const char*, 4> unknown_meaning = {"unevaluatedProperties", "unevaluatedItems",
                                                        "$dynamicRef", "$recursiveRef"};

// The keywords of one schema: a handful, asked for by some fifty names. Comparing lengths first is
// several times as quick as looking each up in the object.
class Keywords {
 public:
  explicit Keywords(const json& schema) {
    if (!schema.is_object()) return;
    members_.reserve(schema.size());
    for (const auto& [name, value] : schema.get_ref<const json::object_t&>())
      members_.emplace_back(name, &value);
  }
  // Null: it is not there.
  [[nodiscard]] const json* find(std::string_view keyword) const {
    for (const auto& [name, value] : members_)
      if (name == keyword) return value;
    return nullptr;
  }

 private:
  std::vector<std::pair<std::string_view, const json*>> members_;
};

class SchemaCompiler {
 public:
  SchemaCompiler(const json& root, std::string_view source) : root_(root), source_(source) {}

  Result<std::vector<SchemaNode>> run() {
    nodes_.reserve(256);
    GYGES_TRY([[maybe_unused]] int first, add(root_, 0));
    return std::move(nodes_);
  }

 private:
  [[nodiscard]] tl::unexpected<Error> bad(const std::string& keyword, const std::string& reason) {
    return fail("read JSON Schema", std::string(source_) + ", " + keyword, reason,
                "write a JSON Schema of draft 7 that stands on its own");
  }

  Result<int> add(const json& schema, int depth) {
    if (auto known = known_.find(&schema); known != known_.end()) return known->second;
    if (depth > max_schema_depth || nodes_.size() >= max_nodes)
      return bad("schema", "it is too deep or too large");
    int place = static_cast<int>(nodes_.size());
    nodes_.emplace_back();
    known_.emplace(&schema, place);
    SchemaNode node;
    if (schema.is_boolean()) {
      node.never = !schema.get<bool>();
    } else if (schema.is_object()) {
      const Keywords keywords(schema);
      GYGES_CHECK(values(keywords, node));
      GYGES_CHECK(limits(keywords, node));
      GYGES_CHECK(arrays(keywords, node, depth + 1));
      GYGES_CHECK(objects(keywords, node, depth + 1));
      GYGES_CHECK(logic(keywords, node, depth + 1));
    } else {
      return bad("schema", "a schema is an object, true or false");
    }
    nodes_[static_cast<std::size_t>(place)] = std::move(node);
    return place;
  }

  Status child(const Keywords& schema, const char* keyword, int& place, int depth) {
    const json* found = schema.find(keyword);
    if (found == nullptr) return ok();
    GYGES_TRY(place, add(*found, depth));
    return ok();
  }

  Status children(const Keywords& schema, const char* keyword, std::vector<int>& places,
                  int depth) {
    const json* found = schema.find(keyword);
    if (found == nullptr) return ok();
    if (!found->is_array() || found->empty()) return bad(keyword, "it is no list of schemas");
    for (const json& one : *found) {
      GYGES_TRY(int place, add(one, depth));
      places.push_back(place);
    }
    return ok();
  }

  Status names(const json& list, const char* keyword, std::vector<std::string>& names) {
    if (!list.is_array()) return bad(keyword, "it is no list of names");
    for (const json& name : list) {
      if (!name.is_string()) return bad(keyword, "it is no list of names");
      names.push_back(name.get<std::string>());
    }
    return ok();
  }

  Status type(const json& name, SchemaNode& node) {
    unsigned known = 0;
    if (name.is_string())
      for (const auto& [text, value] : type_names)
        if (name.get_ref<const std::string&>() == text) known = value;
    if (known == 0) return bad("type", "there is no type " + quoted(name.dump().substr(0, 80)));
    node.types |= known;
    return ok();
  }

  Status types(const json& names, SchemaNode& node) {
    if (!names.is_array()) return type(names, node);
    for (const json& name : names) GYGES_CHECK(type(name, node));
    return ok();
  }

  Result<Pattern> expression(const std::string& text, const char* keyword) {
    if (text.size() > max_expression_bytes) return bad(keyword, "the expression is too long");
    auto pattern = Pattern::compile(text, Pattern::Case::respect, Pattern::Anchors::text);
    if (!pattern) return bad(keyword, pattern.error().reason);
    return pattern;
  }

  Status values(const Keywords& schema, SchemaNode& node) {
    for (const char* keyword : unknown_meaning)
      if (schema.find(keyword) != nullptr) return bad(keyword, "this keyword is not supported");
    if (const json* found = schema.find("type"); found != nullptr) GYGES_CHECK(types(*found, node));
    if (const json* found = schema.find("const"); found != nullptr) node.constant = *found;
    if (const json* found = schema.find("enum"); found != nullptr) {
      if (!found->is_array()) return bad("enum", "it is no list");
      node.choices = found->get<std::vector<json>>();
    }
    if (const json* found = schema.find("pattern"); found != nullptr) {
      if (!found->is_string()) return bad("pattern", "it is no text");
      GYGES_TRY(node.pattern, expression(found->get<std::string>(), "pattern"));
    }
    return ok();
  }

  Status limits(const Keywords& schema, SchemaNode& node) {
    auto number = [&](const char* keyword, std::optional<long double>& place) -> Status {
      const json* found = schema.find(keyword);
      if (found == nullptr) return ok();
      if (!found->is_number()) return bad(keyword, "it is no number");
      place = found->get<long double>();
      return ok();
    };
    auto count = [&](const char* keyword, std::optional<std::uint64_t>& place) -> Status {
      std::optional<long double> value;
      GYGES_CHECK(number(keyword, value));
      if (!value) return ok();
      if (*value < 0 || *value > 1e18L || std::floor(*value) != *value)
        return bad(keyword, "it is no count");
      place = static_cast<std::uint64_t>(*value);
      return ok();
    };
    GYGES_CHECK(number("minimum", node.minimum));
    GYGES_CHECK(number("maximum", node.maximum));
    GYGES_CHECK(number("exclusiveMinimum", node.above));
    GYGES_CHECK(number("exclusiveMaximum", node.below));
    GYGES_CHECK(number("multipleOf", node.multiple_of));
    if (node.multiple_of && *node.multiple_of <= 0) return bad("multipleOf", "it is not above 0");
    GYGES_CHECK(count("minLength", node.min_length));
    GYGES_CHECK(count("maxLength", node.max_length));
    GYGES_CHECK(count("minItems", node.min_items));
    GYGES_CHECK(count("maxItems", node.max_items));
    GYGES_CHECK(count("minProperties", node.min_properties));
    GYGES_CHECK(count("maxProperties", node.max_properties));
    GYGES_CHECK(count("minContains", node.min_contains));
    return count("maxContains", node.max_contains);
  }

  Status arrays(const Keywords& schema, SchemaNode& node, int depth) {
    const json* items = schema.find("items");
    if (items != nullptr && items->is_array()) {
      if (!items->empty()) GYGES_CHECK(children(schema, "items", node.tuple, depth));
      GYGES_CHECK(child(schema, "additionalItems", node.items, depth));
    } else {
      GYGES_CHECK(children(schema, "prefixItems", node.tuple, depth));
      GYGES_CHECK(child(schema, "items", node.items, depth));
    }
    GYGES_CHECK(child(schema, "contains", node.contains, depth));
    if (const json* found = schema.find("uniqueItems"); found != nullptr) {
      if (!found->is_boolean()) return bad("uniqueItems", "it is neither true nor false");
      node.unique = found->get<bool>();
    }
    return ok();
  }

  Status members(const Keywords& schema, const char* keyword, const json*& found) {
    found = schema.find(keyword);
    if (found != nullptr && !found->is_object()) return bad(keyword, "it is no object");
    return ok();
  }

  Status objects(const Keywords& schema, SchemaNode& node, int depth) {
    const json* found = nullptr;
    GYGES_CHECK(members(schema, "properties", found));
    if (found != nullptr)
      for (const auto& [name, one] : found->items()) {
        GYGES_TRY(int place, add(one, depth));
        node.properties[name] = place;
        if (nodes_[static_cast<std::size_t>(place)].constant) node.constants.push_back(name);
      }
    GYGES_CHECK(members(schema, "patternProperties", found));
    if (found != nullptr)
      for (const auto& [name, one] : found->items()) {
        GYGES_TRY(Pattern pattern, expression(name, "patternProperties"));
        GYGES_TRY(int place, add(one, depth));
        node.pattern_properties.emplace_back(std::move(pattern), place);
      }
    GYGES_CHECK(child(schema, "additionalProperties", node.additional, depth));
    GYGES_CHECK(child(schema, "propertyNames", node.names, depth));
    if (const json* list = schema.find("required"); list != nullptr)
      GYGES_CHECK(names(*list, "required", node.required));
    for (const char* keyword : {"dependencies", "dependentRequired", "dependentSchemas"}) {
      GYGES_CHECK(members(schema, keyword, found));
      if (found == nullptr) continue;
      for (const auto& [name, one] : found->items()) {
        if (one.is_array()) {
          GYGES_CHECK(names(one, keyword, node.dependent_required[name]));
        } else {
          GYGES_TRY(int place, add(one, depth));
          node.dependent_schemas[name] = place;
        }
      }
    }
    return ok();
  }

  Status logic(const Keywords& schema, SchemaNode& node, int depth) {
    GYGES_CHECK(children(schema, "allOf", node.all, depth));
    GYGES_CHECK(children(schema, "anyOf", node.any, depth));
    GYGES_CHECK(children(schema, "oneOf", node.one, depth));
    GYGES_CHECK(child(schema, "not", node.inverse, depth));
    GYGES_CHECK(child(schema, "if", node.condition, depth));
    GYGES_CHECK(child(schema, "then", node.consequence, depth));
    GYGES_CHECK(child(schema, "else", node.alternative, depth));
    const json* found = schema.find("$ref");
    if (found == nullptr) return ok();
    if (!found->is_string()) return bad("$ref", "it is no text");
    const auto& text = found->get_ref<const std::string&>();
    const json* target = text == "#" ? &root_ : nullptr;
    if (text.starts_with("#/")) {
      try {
        json::json_pointer pointer(text.substr(1));
        if (root_.contains(pointer)) target = &root_.at(pointer);
      } catch (const json::exception&) {
        target = nullptr;  // no pointer: reported below
      }
    }
    if (target == nullptr)
      return bad("$ref", quoted(text.substr(0, 200)) + " names nothing in this schema");
    GYGES_TRY(node.reference, add(*target, depth));
    return ok();
  }

  const json& root_;
  std::string_view source_;
  std::vector<SchemaNode> nodes_;
  std::map<const json*, int> known_;
};

}  // namespace

Result<JsonSchema> JsonSchema::compile(const json& schema, std::string_view source) {
  auto compiled = std::make_shared<Compiled>();
  GYGES_TRY(compiled->nodes, SchemaCompiler(schema, source).run());
  JsonSchema made;
  made.compiled_ = std::move(compiled);
  return made;
}

}  // namespace gyges
