// JSON Schema over values and schemas that strangers may have written.
//
// Draft 7 and what 2019-09 and 2020-12 renamed ($defs, prefixItems, dependentRequired and the
// like). References point into the schema itself ("#", "#/..."); any other is an error, and so are
// keywords that would need annotations (unevaluatedProperties, $dynamicRef and the like). `format`
// is an annotation, as the newer drafts have it. An integer is a number written without a fraction.
// What no draft defines is passed over.
//
// Own code, because neither may run without end or without stack: every check has a bound on steps
// and depth, and `pattern` is searched in linear time (base/pattern.h). The library that was here
// before searched with std::regex, whose stack grows with the text, and followed references that
// lead back to themselves.
//
// A compiled schema is immutable and can be used by several threads.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges {

class JsonSchema {
 public:
  struct Fault {
    std::string pointer;     // of the value's part that does not fit: "/a/0"; "/" for all of it
    std::string reason;      // printable and bounded
    bool undecided = false;  // a bound was reached, the value may fit
  };

  // The schema is copied where it is needed. `source` names it in errors.
  static Result<JsonSchema> compile(const nlohmann::json& schema, std::string_view source);

  // The first thing that does not fit, in the order in which a reader would look for it.
  [[nodiscard]] std::optional<Fault> check(const nlohmann::json& value) const;

  struct Compiled;  // json_schema_nodes.h

 private:
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace gyges
