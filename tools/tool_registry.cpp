#include "tools/tool_registry.h"

#include <array>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "tools/arguments.h"
#include "tools/builtin.h"

namespace gyges::tools {
namespace {

std::array<const Tool*, 5> all_tools() {
  return {&bash_tool(), &read_file_tool(), &write_file_tool(), &list_dir_tool(), &submit_tool()};
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
  std::string fault = argument_fault(*tool, *value);
  if (!fault.empty()) return error_result("arguments", fault);
  return tool->run(context, *value);
}

}  // namespace gyges::tools
