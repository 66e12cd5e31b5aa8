// A schema as json_schema.cpp compiles it and json_schema_check.cpp walks it. Of no use elsewhere.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/json_schema.h"
#include "base/pattern.h"

namespace gyges {

enum JsonType : unsigned {
  type_null = 1U,
  type_boolean = 2U,
  type_integer = 4U,
  type_number = 8U,
  type_string = 16U,
  type_array = 32U,
  type_object = 64U,
};

// One schema. Others are named by their place among the nodes; -1 stands for none.
struct SchemaNode {
  bool never = false;  // the schema `false`
  unsigned types = 0;  // of JsonType; 0: any
  std::optional<nlohmann::json> constant;
  std::optional<std::vector<nlohmann::json>> choices;  // enum
  // long double holds every 64-bit integer.
  std::optional<long double> minimum, maximum, above, below, multiple_of;
  std::optional<std::uint64_t> min_length, max_length, min_items, max_items, min_properties,
      max_properties, min_contains, max_contains;
  std::optional<Pattern> pattern;
  bool unique = false;
  std::vector<int> tuple;  // of the first items
  int items = -1;          // of the others
  int contains = -1;
  std::map<std::string, int, std::less<>> properties;
  std::vector<std::string>
      constants;  // properties that tell one form from another: looked at first
  std::vector<std::pair<Pattern, int>> pattern_properties;
  int additional = -1;  // of properties that neither names
  int names = -1;
  std::vector<std::string> required;
  std::map<std::string, std::vector<std::string>> dependent_required;
  std::map<std::string, int> dependent_schemas;
  std::vector<int> all, any, one;
  int inverse = -1, condition = -1, consequence = -1, alternative = -1, reference = -1;
};

struct JsonSchema::Compiled {
  std::vector<SchemaNode> nodes;
  int root = 0;
};

}  // namespace gyges
