// The tools that one agent is offered: those that ship with Gyges, with the texts of its scenario
// where it has any, and those that the scenario declares as commands.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tools/tool.h"

namespace gyges::tools {

struct ToolSpec {
  std::string name;
  std::string description;  // empty: the tool's own
  std::string parameters;   // the text of a JSON Schema of an object; of commands only
  // Of a declared tool: started inside the sandbox with the arguments, as a line of JSON, on its
  // standard input. Empty: a tool that ships.
  std::vector<std::string> command;
};

class ToolSet {
 public:
  // Fails for a name that is unknown or is there twice, and for a schema that cannot be used.
  static Result<ToolSet> make(std::vector<ToolSpec> specs);
  // One more, behind the others. `tool` is borrowed. Fails for a name that is there and for a
  // schema that cannot be used.
  Status add(const Tool& tool);
  ToolSet();
  ~ToolSet();
  ToolSet(ToolSet&&) noexcept;
  ToolSet& operator=(ToolSet&&) noexcept;

  // In the order in which the agent sees them, with no text empty.
  [[nodiscard]] const std::vector<ToolSpec>& specs() const { return specs_; }

  // Checks the arguments (the text of a JSON object) and runs the tool. Whatever a model sends
  // gives a result, never a failure of Gyges. Not thread-safe, but for tools that are commands,
  // mail, ask_human and notify: they keep nothing between calls.
  ToolResult call(const ToolContext& context, std::string_view name,
                  std::string_view arguments) const;

 private:
  struct Compiled;
  std::vector<ToolSpec> specs_;
  std::vector<std::unique_ptr<Compiled>> compiled_;  // one for each
};

}  // namespace gyges::tools
