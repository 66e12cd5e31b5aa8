#include "tools/arguments.h"

#include <stdexcept>  // which the library includes inside its namespace
// A schema that cannot be used is reported, where the library would abort. The same in every source
// that includes it (base/json_document.cpp, tools/arguments.cpp): its functions are inline.
#define VALIJSON_USE_EXCEPTIONS 1
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::tools {

struct ArgumentSchema::Compiled {
  std::string tool;
  valijson::Schema schema;
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
  try {
    valijson::SchemaParser(valijson::SchemaParser::kDraft7)
        .populateSchema(valijson::adapters::NlohmannJsonAdapter(value), made.compiled_->schema);
  } catch (const std::exception& error) {
    return fail("read tool", tool, std::string("its parameters are no schema: ") + error.what(),
                "write a JSON Schema of draft 7 without references to other files");
  }
  made.compiled_->tool = std::move(tool);
  return made;
}

std::string ArgumentSchema::fault(const nlohmann::json& arguments) const {
  valijson::Validator validator;
  valijson::ValidationResults results;
  bool fits = false;
  try {
    fits = validator.validate(compiled_->schema, valijson::adapters::NlohmannJsonAdapter(arguments),
                              &results);
  } catch (const std::exception& error) {
    return "The arguments of " + compiled_->tool +
           " could not be checked: " + printable(error.what());
  }
  if (fits) return {};
  std::string fault = "The arguments of " + compiled_->tool + " do not fit";
  valijson::ValidationResults::Error error;
  if (results.popError(error)) {
    std::string place;
    for (std::size_t i = 1; i < error.context.size(); ++i) place += error.context[i];
    fault += ": " + printable(place + (place.empty() ? "" : " ") + error.description);
  }
  return fault;
}

std::string expand_home(const std::string& path, const std::string& home) {
  if (path == "~") return home;
  if (path.starts_with("~/")) return home + path.substr(1);
  return path;
}

}  // namespace gyges::tools
