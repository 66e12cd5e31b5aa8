#include <algorithm>
#include <cmath>

#include "base/json_schema_nodes.h"
#include "base/text.h"

namespace gyges {
namespace {

using nlohmann::json;

constexpr std::uint64_t max_check_steps = 10'000'000;  // about half a second
constexpr int max_nested_checks = 256;        // of schemas within schemas, on this thread's stack
constexpr std::uint64_t bytes_per_step = 16;  // searched for an expression
constexpr std::size_t shown_bytes = 100;
constexpr std::size_t max_pointer_bytes = 400;

unsigned type_of(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return type_null;
    case json::value_t::boolean:
      return type_boolean;
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      return type_integer;
    case json::value_t::number_float:
      return type_number;
    case json::value_t::string:
      return type_string;
    case json::value_t::array:
      return type_array;
    default:
      return type_object;
  }
}

std::string names_of(unsigned types) {
  std::vector<std::string> names;
  for (auto [type, name] : {std::pair{type_null, "null"},
                            {type_boolean, "true or false"},
                            {type_integer, "an integer"},
                            {type_number, "a number"},
                            {type_string, "a text"},
                            {type_array, "a list"},
                            {type_object, "an object"}}) {
    bool covered = type == type_integer && (types & type_number) != 0;
    if ((types & type) != 0 && !covered) names.emplace_back(name);
  }
  return join(names, " or ");
}

std::string shown(std::string_view text) {
  return quoted(text.substr(0, shown_bytes)) + (text.size() > shown_bytes ? "..." : "");
}

std::string shown(const json& value) {
  if (value.is_string()) return shown(std::string_view(value.get_ref<const std::string&>()));
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return printable(value.dump());
}

std::string number_text(long double value) {
  if (std::floor(value) == value && std::fabs(value) < 9e18L)
    return std::to_string(static_cast<std::int64_t>(value));
  return json(static_cast<double>(value)).dump();
}

std::uint64_t characters(const std::string& text) {
  return static_cast<std::uint64_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// Where a value stands; rendered only for a fault.
struct Place {
  const Place* above = nullptr;
  std::string_view key;
  std::size_t index = 0;
  bool is_item = false;
};

std::string pointer_of(const Place* place) {
  std::string pointer;
  for (; place != nullptr && place->above != nullptr; place = place->above) {
    std::string part = place->is_item ? std::to_string(place->index)
                                      : std::string(place->key.substr(0, shown_bytes));
    pointer.insert(0, "/" + part);
    if (pointer.size() > max_pointer_bytes) break;
  }
  return pointer.empty() ? "/" : pointer;
}

class Check {
 public:
  explicit Check(const JsonSchema::Compiled& schema) : schema_(schema) {}

  std::optional<JsonSchema::Fault> run(const json& value) {
    Place root;
    Found found;
    bool fits = fit(schema_.root, value, root, &found, 0);
    if (!stopped_.empty()) return JsonSchema::Fault{"/", stopped_, true};
    if (fits) return std::nullopt;
    return JsonSchema::Fault{std::move(found.pointer), std::move(found.reason), false};
  }

 private:
  struct Found {
    std::string pointer;
    std::string reason;
    bool other_form = false;  // a constant says that another form is meant
    std::size_t depth = 0;
  };

  // False for a value that does not fit; `found` (null: not wanted) is then set.
  bool no(const Place& place, Found* found, const std::string& reason, bool other_form = false) {
    if (found == nullptr) return false;
    found->pointer = pointer_of(&place);
    found->reason = reason;
    found->other_form = other_form;
    found->depth = 0;
    for (const Place* at = &place; at != nullptr; at = at->above) ++found->depth;
    return false;
  }

  // False once a bound is reached: then the whole check is undecided.
  bool spend(std::uint64_t steps) {
    steps_ += steps;
    if (steps_ > max_check_steps && stopped_.empty())
      stopped_ = "it takes more steps to check than are allowed";
    return stopped_.empty();
  }

  bool fit(int at, const json& value, const Place& place, Found* found, int depth) {
    if (!spend(1)) return false;
    if (depth > max_nested_checks) {
      stopped_ = "its schema leads back to itself, or is too deep to check";
      return false;
    }
    const SchemaNode& node = schema_.nodes[static_cast<std::size_t>(at)];
    if (node.never) return no(place, found, "nothing is allowed here");
    if (node.types != 0 && (node.types & type_of(value)) == 0)
      return no(place, found, shown(value) + " is not " + names_of(node.types));
    if (node.constant && !(spend(1) && *node.constant == value))
      return no(place, found, shown(value) + " is not " + shown(*node.constant), true);
    if (node.choices) {
      if (!spend(node.choices->size())) return false;
      if (std::find(node.choices->begin(), node.choices->end(), value) == node.choices->end())
        return no(place, found, shown(value) + " is not among the values allowed");
    }
    bool fits = true;
    if (value.is_number()) fits = fit_number(node, value.get<long double>(), place, found);
    if (value.is_string()) fits = fit_text(node, value.get_ref<const std::string&>(), place, found);
    if (value.is_array()) fits = fit_array(node, value, place, found, depth);
    if (value.is_object()) fits = fit_object(node, value, place, found, depth);
    return fits && fit_logic(node, value, place, found, depth);
  }

  bool fit_number(const SchemaNode& node, long double value, const Place& place, Found* found) {
    if (node.minimum && value < *node.minimum)
      return no(place, found, "is below " + number_text(*node.minimum));
    if (node.maximum && value > *node.maximum)
      return no(place, found, "is above " + number_text(*node.maximum));
    if (node.above && value <= *node.above)
      return no(place, found, "is not above " + number_text(*node.above));
    if (node.below && value >= *node.below)
      return no(place, found, "is not below " + number_text(*node.below));
    if (node.multiple_of) {
      long double times = value / *node.multiple_of;
      if (!(std::fabs(times - std::round(times)) <= 1e-9L))
        return no(place, found, "is no multiple of " + number_text(*node.multiple_of));
    }
    return true;
  }

  bool within(std::uint64_t size, const std::optional<std::uint64_t>& least,
              const std::optional<std::uint64_t>& most, const char* what, const Place& place,
              Found* found) {
    if (least && size < *least)
      return no(place, found, "has fewer than " + std::to_string(*least) + " " + what);
    if (most && size > *most)
      return no(place, found, "has more than " + std::to_string(*most) + " " + what);
    return true;
  }

  bool occurs(const Pattern& pattern, std::string_view text) {
    if (!spend(1 + text.size() / bytes_per_step)) return false;
    auto result = pattern.found_in(text);
    if (!result && stopped_.empty())
      stopped_ = "its expression cannot be searched: " + result.error().reason;
    return result && *result;
  }

  bool fit_text(const SchemaNode& node, const std::string& text, const Place& place, Found* found) {
    if ((node.min_length || node.max_length) &&
        !within(characters(text), node.min_length, node.max_length, "characters", place, found))
      return false;
    if (node.pattern && !occurs(*node.pattern, text))
      return no(place, found,
                shown(std::string_view(text)) + " does not match the expression " +
                    quoted(node.pattern->expression().substr(0, 200)));
    return true;
  }

  bool fit_array(const SchemaNode& node, const json& value, const Place& place, Found* found,
                 int depth) {
    if (!within(value.size(), node.min_items, node.max_items, "items", place, found)) return false;
    std::uint64_t contained = 0;
    for (std::size_t i = 0; i < value.size(); ++i) {
      Place inner{&place, {}, i, true};
      int schema = i < node.tuple.size() ? node.tuple[i] : node.items;
      if (schema >= 0 && !fit(schema, value[i], inner, found, depth + 1)) return false;
      if (node.contains >= 0 && fit(node.contains, value[i], inner, nullptr, depth + 1))
        ++contained;
      if (!stopped_.empty()) return false;
    }
    if (node.contains >= 0) {
      std::uint64_t least = node.min_contains.value_or(1);
      if (contained < least || (node.max_contains && contained > *node.max_contains))
        return no(place, found, std::to_string(contained) + " of its items are of the kind wanted");
    }
    return !node.unique || fit_unique(value, place, found);
  }

  bool fit_unique(const json& value, const Place& place, Found* found) {
    if (!spend(8 * value.size())) return false;
    std::vector<const json*> items;
    items.reserve(value.size());
    for (const json& item : value) items.push_back(&item);
    std::sort(items.begin(), items.end(), [](const json* a, const json* b) { return *a < *b; });
    auto twice = std::adjacent_find(items.begin(), items.end(),
                                    [](const json* a, const json* b) { return *a == *b; });
    return twice == items.end() || no(place, found, shown(**twice) + " stands there twice");
  }

  bool fit_member(const SchemaNode& node, const std::string& name, const json& member,
                  const Place& place, Found* found, int depth) {
    Place inner{&place, name, 0, false};
    if (node.names >= 0) {
      Found bad;
      if (!fit(node.names, json(name), inner, &bad, depth + 1))
        return no(place, found, "the key " + shown(std::string_view(name)) + ": " + bad.reason);
    }
    bool named = false;
    if (auto known = node.properties.find(name); known != node.properties.end()) {
      named = true;
      if (!fit(known->second, member, inner, found, depth + 1)) return false;
    }
    for (const auto& [pattern, schema] : node.pattern_properties) {
      if (occurs(pattern, name)) {
        named = true;
        if (!fit(schema, member, inner, found, depth + 1)) return false;
      }
      if (!stopped_.empty()) return false;
    }
    if (named || node.additional < 0) return true;
    if (schema_.nodes[static_cast<std::size_t>(node.additional)].never)
      return no(place, found, "unknown key " + shown(std::string_view(name)));
    return fit(node.additional, member, inner, found, depth + 1);
  }

  bool fit_object(const SchemaNode& node, const json& value, const Place& place, Found* found,
                  int depth) {
    for (const std::string& name : node.constants)
      if (auto member = value.find(name);
          member != value.end() && !fit_member(node, name, *member, place, found, depth))
        return false;
    for (auto member = value.begin(); member != value.end(); ++member)
      if (!fit_member(node, member.key(), member.value(), place, found, depth)) return false;
    auto has = [&](const std::vector<std::string>& names) {
      for (const std::string& name : names)
        if (!value.contains(name))
          return no(place, found, "the key " + shown(std::string_view(name)) + " is missing");
      return true;
    };
    if (!spend(node.required.size()) || !has(node.required)) return false;
    if (!within(value.size(), node.min_properties, node.max_properties, "keys", place, found))
      return false;
    for (const auto& [name, names] : node.dependent_required)
      if (spend(names.size()) && value.contains(name) && !has(names)) return false;
    for (const auto& [name, schema] : node.dependent_schemas)
      if (value.contains(name) && !fit(schema, value, place, found, depth + 1)) return false;
    return true;
  }

  // How many of the schemas fit, at most `enough`; the fault that says most, where none does.
  std::size_t count_fits(const std::vector<int>& schemas, std::size_t enough, const json& value,
                         const Place& place, Found* found, int depth) {
    std::size_t fits = 0;
    std::optional<Found> best;
    for (int schema : schemas) {
      Found one;
      if (fit(schema, value, place, found != nullptr ? &one : nullptr, depth + 1)) {
        if (++fits == enough) break;
      } else if (!best || (best->other_form && !one.other_form) ||
                 (best->other_form == one.other_form && one.depth > best->depth)) {
        best = std::move(one);
      }
      if (!stopped_.empty()) return 0;
    }
    if (fits == 0 && found != nullptr && best) *found = std::move(*best);
    return fits;
  }

  bool fit_logic(const SchemaNode& node, const json& value, const Place& place, Found* found,
                 int depth) {
    if (node.reference >= 0 && !fit(node.reference, value, place, found, depth + 1)) return false;
    for (int schema : node.all)
      if (!fit(schema, value, place, found, depth + 1)) return false;
    if (!node.any.empty() && count_fits(node.any, 1, value, place, found, depth) == 0) return false;
    if (!node.one.empty()) {
      std::size_t fits = count_fits(node.one, 2, value, place, found, depth);
      if (fits > 1) return no(place, found, "fits more than one of the forms allowed");
      if (fits == 0) return false;
    }
    if (node.inverse >= 0 && fit(node.inverse, value, place, nullptr, depth + 1))
      return no(place, found, "is what the schema excludes");
    if (node.condition >= 0) {
      bool holds = fit(node.condition, value, place, nullptr, depth + 1);
      if (!stopped_.empty()) return false;
      int then = holds ? node.consequence : node.alternative;
      if (then >= 0 && !fit(then, value, place, found, depth + 1)) return false;
    }
    return stopped_.empty();
  }

  const JsonSchema::Compiled& schema_;
  std::uint64_t steps_ = 0;
  std::string stopped_;
};

}  // namespace

std::optional<JsonSchema::Fault> JsonSchema::check(const json& value) const {
  return Check(*compiled_).run(value);
}

}  // namespace gyges
