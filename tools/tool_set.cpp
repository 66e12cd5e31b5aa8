#include "tools/tool_set.h"

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "tools/arguments.h"
#include "tools/sandbox_process.h"
#include "tools/tool_registry.h"

namespace gyges::tools {

struct ToolSet::Compiled {
  const Tool* tool = nullptr;  // null: a command
  ArgumentSchema schema;
};

ToolSet::ToolSet() = default;
ToolSet::~ToolSet() = default;
ToolSet::ToolSet(ToolSet&&) noexcept = default;
ToolSet& ToolSet::operator=(ToolSet&&) noexcept = default;

Result<ToolSet> ToolSet::make(std::vector<ToolSpec> specs) {
  ToolSet set;
  for (auto& spec : specs) {
    for (const auto& other : set.specs_)
      if (other.name == spec.name)
        return fail("offer tools", spec.name, "is there twice", "rename one of them");
    auto compiled = std::make_unique<Compiled>();
    const Tool* shipped = find_tool(spec.name);
    if (spec.command.empty()) {
      if (shipped == nullptr)
        return fail("offer tools", spec.name, "there is no tool of this name",
                    "use one of those that ship, or give it a command");
      compiled->tool = shipped;
      spec.parameters = shipped->parameters();
      if (spec.description.empty()) spec.description = shipped->description();
    } else if (shipped != nullptr) {
      return fail("offer tools", spec.name, "a tool that ships has this name", "choose another");
    }
    GYGES_TRY(compiled->schema, ArgumentSchema::compile(spec.name, spec.parameters));
    set.specs_.push_back(std::move(spec));
    set.compiled_.push_back(std::move(compiled));
  }
  return set;
}

Status ToolSet::add(const Tool& tool) {
  std::string name(tool.name());
  bool known = find_tool(name) != nullptr;
  for (const auto& other : specs_) known = known || other.name == name;
  if (known)
    return fail("offer tools", name, "another tool has this name", "give its server a prefix");
  auto compiled = std::make_unique<Compiled>();
  compiled->tool = &tool;
  GYGES_TRY(compiled->schema, ArgumentSchema::compile(name, tool.parameters()));
  specs_.push_back({name, std::string(tool.description()), std::string(tool.parameters()), {}});
  compiled_.push_back(std::move(compiled));
  return ok();
}

ToolResult ToolSet::call(const ToolContext& context, std::string_view name,
                         std::string_view arguments) const {
  std::size_t at = 0;
  while (at < specs_.size() && specs_[at].name != name) ++at;
  if (at == specs_.size())
    return error_result("unknown_tool",
                        "There is no tool named " + quoted(name.substr(0, 200)) + ".");
  auto value = parse_json(arguments, "arguments");
  if (!value)
    return error_result("arguments", "The arguments are not valid JSON: " + value.error().reason);
  std::string fault = compiled_[at]->schema.fault(*value);
  if (!fault.empty()) return error_result("arguments", fault);
  if (compiled_[at]->tool != nullptr) return compiled_[at]->tool->run(context, *value);
  return run_in_sandbox(
      context, {specs_[at].command,
                value->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"});
}

}  // namespace gyges::tools
