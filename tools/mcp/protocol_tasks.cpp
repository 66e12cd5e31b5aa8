#include "tools/mcp/protocol_tasks.h"

#include "base/json.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;

const json* value_at(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() ? &*found : nullptr;
}

}  // namespace

bool is_about_tasks(const Request& request) {
  const std::string& method = request.method;
  if (method == "tasks/get" || method == "tasks/cancel")
    return request.revision != Revision::r2025_06_18;
  if (method == "tasks/update") return stateless(request.revision);
  return request.revision == Revision::r2025_11_25 &&
         (method == "tasks/list" || method == "tasks/result");
}

std::optional<Answer> task_fault(const Service& service, const Request& request) {
  const bool call = request.method == "tools/call";
  const TaskUse use = call ? service.task_use(request) : TaskUse::required;
  if (stateless(request.revision)) {
    if (use == TaskUse::required && !declares_tasks(*request.capabilities))
      return fault_answer(Code::missing_capability, "The client has to know tasks.",
                          json_text({{"requiredCapabilities",
                                      {{"extensions", {{tasks_extension, json::object()}}}}}}));
  } else if (call) {
    const json* task = value_at(*request.params, "task");
    if (request.revision == Revision::r2025_06_18) task = nullptr;
    if (task != nullptr && !task->is_object())
      return fault_answer(Code::invalid_params, "task is a JSON object.");
    if (task != nullptr && use == TaskUse::none)
      return fault_answer(Code::method_not_found, "This tool is not called as a task.");
    if (task == nullptr && use == TaskUse::required)
      return fault_answer(Code::method_not_found, "This tool is called as a task only.");
  }
  if (call || request.method == "tasks/list") return std::nullopt;
  const json* id = value_at(*request.params, "taskId");
  if (id == nullptr || !id->is_string())
    return fault_answer(Code::invalid_params, "The taskId is missing.");
  return std::nullopt;
}

void add_task_support(const Service& service, const Request& request, const std::string& tool,
                      std::string& list) {
  if (!service.has_tasks() || request.revision != Revision::r2025_11_25) return;
  Request called = request;
  called.method = "tools/call";
  called.params = std::make_shared<const json>(json{{"name", tool}});
  const TaskUse use = service.task_use(called);
  if (use == TaskUse::none) return;
  list.pop_back();
  list += std::string(R"(,"execution":{"taskSupport":")") +
          (use == TaskUse::required ? "required" : "optional") + R"("}})";
}

}  // namespace gyges::mcp
