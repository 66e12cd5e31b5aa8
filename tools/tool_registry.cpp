#include "tools/tool_registry.h"

#include <array>
#include <map>
#include <utility>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "tools/arguments.h"
#include "tools/builtin.h"

namespace gyges::tools {
namespace {

std::array<const Tool*, 15> all_tools() {
  return {&bash_tool(),         &bash_session_tool(), &python_tool(),    &read_file_tool(),
          &write_file_tool(),   &edit_file_tool(),    &list_dir_tool(),  &search_tool(),
          &http_request_tool(), &mail_tool(),         &ask_human_tool(), &notify_tool(),
          &think_tool(),        &todo_tool(),         &submit_tool()};
}

// Read once by each thread: a schema is not for several at the same time.
Result<const ArgumentSchema*> schema_of(const Tool& tool) {
  thread_local std::map<const Tool*, ArgumentSchema> known;
  auto found = known.find(&tool);
  if (found == known.end()) {
    GYGES_TRY(ArgumentSchema schema,
              ArgumentSchema::compile(std::string(tool.name()), tool.parameters()));
    found = known.emplace(&tool, std::move(schema)).first;
  }
  return &found->second;
}

}  // namespace

const Tool* find_tool(std::string_view name) {
  for (const Tool* tool : all_tools())
    if (tool->name() == name) return tool;
  return nullptr;
}

std::vector<std::string_view> tool_names() {
  std::vector<std::string_view> names;
  for (const Tool* tool : all_tools()) names.push_back(tool->name());
  return names;
}

ToolResult call_tool(const ToolContext& context, std::string_view name,
                     std::string_view arguments) {
  const Tool* tool = find_tool(name);
  if (tool == nullptr)
    return error_result("unknown_tool", "There is no tool named " + quoted(name) + ".");
  auto value = parse_json(arguments, "arguments");
  if (!value)
    return error_result("arguments", "The arguments are not valid JSON: " + value.error().reason);
  auto schema = schema_of(*tool);
  if (!schema) return error_result("arguments", schema.error().line());
  std::string fault = (*schema)->fault(*value);
  if (!fault.empty()) return error_result("arguments", fault);
  return tool->run(context, *value);
}

}  // namespace gyges::tools
