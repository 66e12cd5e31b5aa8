#include "tools/arguments.h"

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "base/json.h"
#include "base/text.h"

namespace gyges::tools {

std::string argument_fault(const Tool& tool, const nlohmann::json& arguments) {
  auto text = nlohmann::json::parse(tool.parameters());
  valijson::Schema schema;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(valijson::adapters::NlohmannJsonAdapter(text), schema);
  valijson::Validator validator;
  valijson::ValidationResults results;
  if (validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(arguments), &results))
    return {};
  std::string fault = "The arguments of " + std::string(tool.name()) + " do not fit";
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
