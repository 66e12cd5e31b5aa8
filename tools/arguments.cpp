#include "tools/arguments.h"

#include "base/json.h"
#include "base/json_document.h"
#include "base/json_schema.h"
#include "base/text.h"

namespace gyges::tools {

struct ArgumentSchema::Compiled {
  std::string tool;
  JsonSchema schema;
};

ArgumentSchema::ArgumentSchema() = default;
ArgumentSchema::~ArgumentSchema() = default;
ArgumentSchema::ArgumentSchema(ArgumentSchema&&) noexcept = default;
ArgumentSchema& ArgumentSchema::operator=(ArgumentSchema&&) noexcept = default;

Result<ArgumentSchema> ArgumentSchema::compile(std::string tool, std::string_view text) {
  ArgumentSchema made;
  made.compiled_ = std::make_unique<Compiled>();
  GYGES_TRY(nlohmann::json value, parse_json(text, "parameters of " + tool));
  if (!value.is_object() || value.value("type", nlohmann::json()) != "object")
    return fail("read tool", tool, "its parameters are not the schema of an object",
                "begin them with \"type\": \"object\"");
  GYGES_TRY(made.compiled_->schema, JsonSchema::compile(value, "parameters of " + tool));
  made.compiled_->tool = std::move(tool);
  return made;
}

std::string ArgumentSchema::fault(const nlohmann::json& arguments) const {
  auto fault = compiled_->schema.check(arguments);
  if (!fault) return {};
  std::string place = fault->pointer == "/" ? "" : printable(fault->pointer) + ": ";
  return "The arguments of " + compiled_->tool +
         (fault->undecided ? " could not be checked: " : " do not fit: ") + place + fault->reason;
}

std::string expand_home(const std::string& path, const std::string& home) {
  if (path == "~") return home;
  if (path.starts_with("~/")) return home + path.substr(1);
  return path;
}

}  // namespace gyges::tools
