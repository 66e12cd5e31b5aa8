// What is known of one task, and how it is said in either revision. For session_tasks.cpp. Not
// thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/json.h"
#include "tools/mcp/service.h"

namespace gyges::mcp {

// A call of 2025-11-25 that its client wants as a task.
bool asks_for_task(const Request& request);

struct TaskRecord {
  // `call` is the tools/call.
  explicit TaskRecord(Request call);

  std::string id;  // cannot be guessed; empty where the kernel gives no random bytes
  Request request;
  std::string status = "working";  // "input_required", "completed", "failed", "cancelled"
  std::string message;             // may be empty
  std::string created, updated;    // UTC
  std::chrono::steady_clock::time_point begun, ended;
  std::chrono::milliseconds ttl{};
  Answer outcome;                                   // of one that has completed or failed
  nlohmann::json asked = nlohmann::json::object();  // input_required: what has not been answered
  nlohmann::json given = nlohmann::json::object();  // what has
  nlohmann::json state;                             // of the request for input; null: none

  [[nodiscard]] bool over() const;
  void become(std::string_view now);
  // The call has answered: it has ended, or wants input.
  void take(const Answer& answer);
  // From a progress notification's params.
  void take_progress(std::string_view params);
  // Answers to what was asked; true: all of it has come, and the call is to be made again.
  bool take_input(const nlohmann::json& responses);
  [[nodiscard]] Request asked_again() const;

  [[nodiscard]] nlohmann::json facts() const;
  // The answer to the call, and that to tasks/get.
  [[nodiscard]] Answer created_answer() const;
  [[nodiscard]] Answer detailed() const;
  // To tasks/result; it is over.
  [[nodiscard]] Answer result() const;
};

// With this object as its result.
Answer result_answer(const nlohmann::json& result);

}  // namespace gyges::mcp
