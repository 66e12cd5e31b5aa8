#include "tools/mcp/task.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "tools/mcp/session_tasks.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t longest_message = 500;
constexpr const char* related_task = "io.modelcontextprotocol/related-task";

// Whoever knows the id of a task in this session may fetch it: 32 hexadecimal digits. Empty where
// the kernel gives no random bytes.
std::string random_task_id() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  std::string id;
  for (unsigned char byte : bytes) {
    id += "0123456789abcdef"[byte >> 4U];
    id += "0123456789abcdef"[byte & 15U];
  }
  return id;
}

std::string utc_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char text[40];
  std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, ".%03uZ",
                static_cast<unsigned>(now.tv_nsec / 1'000'000) % 1000U);
  return std::string(text, size) + fraction;
}

const json* member_of(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() ? &*found : nullptr;
}

milliseconds ttl_of(const Request& request) {
  if (stateless(request.revision)) return SessionTasks::usual_ttl;
  const json* task = member_of(*request.params, "task");
  const json* ttl = task != nullptr && task->is_object() ? member_of(*task, "ttl") : nullptr;
  if (ttl == nullptr || !ttl->is_number()) return SessionTasks::usual_ttl;
  double wanted = ttl->get<double>();
  if (!(wanted > 0)) return milliseconds(1);
  if (wanted > static_cast<double>(SessionTasks::longest_ttl.count()))
    return SessionTasks::longest_ttl;
  return milliseconds(std::max<std::int64_t>(static_cast<std::int64_t>(wanted), 1));
}

}  // namespace

bool declares_tasks(const json& capabilities) {
  const json* extensions = member_of(capabilities, "extensions");
  return extensions != nullptr && extensions->is_object() && extensions->contains(tasks_extension);
}

// A call of 2025-11-25 that its client wants as a task.
bool asks_for_task(const Request& request) {
  return request.revision == Revision::r2025_11_25 && request.method == "tools/call" &&
         request.params->contains("task");
}

Answer result_answer(const json& result) {
  Answer answer;
  answer.result = json_text(result);
  return answer;
}

TaskRecord::TaskRecord(Request call)
    : id(random_task_id()),
      request(std::move(call)),
      created(utc_now()),
      updated(created),
      begun(Clock::now()),
      ttl(ttl_of(request)) {}

bool TaskRecord::over() const {
  return status == "completed" || status == "failed" || status == "cancelled";
}

void TaskRecord::become(std::string_view now) {
  status = now;
  updated = utc_now();
  if (over()) ended = Clock::now();
}

void TaskRecord::take(const Answer& answer) {
  if (!answer.input_required) {
    outcome = answer;
    return become(answer.fault ? "failed" : "completed");
  }
  json wanted = json::parse(answer.result, nullptr, false);
  if (wanted.is_object()) {
    asked = wanted.value("inputRequests", json::object());
    state = wanted.value("requestState", json());
  }
  given = json::object();
  become("input_required");
}

void TaskRecord::take_progress(std::string_view params) {
  json value = json::parse(params, nullptr, false);
  const json* words = value.is_object() ? member_of(value, "message") : nullptr;
  if (words == nullptr || !words->is_string()) return;
  message = words->get<std::string>().substr(0, longest_message);
  updated = utc_now();
}

bool TaskRecord::take_input(const json& responses) {
  if (status != "input_required") return false;
  for (const auto& [key, response] : responses.items())
    if (asked.erase(key) != 0) given[key] = response;
  updated = utc_now();
  if (!asked.empty()) return false;
  become("working");
  return true;
}

Request TaskRecord::asked_again() const {
  Request again = request;
  json params = *again.params;
  params["inputResponses"] = given;
  if (!state.is_null()) params["requestState"] = state;
  again.params = std::make_shared<const json>(std::move(params));
  return again;
}

json TaskRecord::facts() const {
  const bool modern = stateless(request.revision);
  json facts{{"taskId", id},
             {"status", status},
             {"createdAt", created},
             {"lastUpdatedAt", updated},
             {modern ? "ttlMs" : "ttl", ttl.count()},
             {modern ? "pollIntervalMs" : "pollInterval", SessionTasks::poll_interval.count()}};
  if (!message.empty()) facts["statusMessage"] = message;
  return facts;
}

Answer TaskRecord::created_answer() const {
  const bool modern = stateless(request.revision);
  Answer answer = result_answer(modern ? facts() : json{{"task", facts()}});
  answer.task = modern;
  return answer;
}

Answer TaskRecord::detailed() const {
  json facts = this->facts();
  if (!stateless(request.revision)) return result_answer(facts);
  if (status == "completed") {
    json result = json::parse(outcome.result, nullptr, false);
    if (result.is_object()) result["resultType"] = "complete";
    facts["result"] = std::move(result);
  }
  if (status == "failed") {
    facts["error"] = {{"code", static_cast<int>(outcome.fault->code)},
                      {"message", outcome.fault->message}};
    if (!outcome.fault->data.empty())
      facts["error"]["data"] = json::parse(outcome.fault->data, nullptr, false);
  }
  if (status == "input_required") facts["inputRequests"] = asked;
  return result_answer(facts);
}

Answer TaskRecord::result() const {
  if (status == "cancelled") return fault_answer(Code::internal_error, "The task was cancelled.");
  if (outcome.fault) return outcome;
  json result = json::parse(outcome.result, nullptr, false);
  if (result.is_object()) result["_meta"][related_task] = {{"taskId", id}};
  return result_answer(result);
}

}  // namespace gyges::mcp
