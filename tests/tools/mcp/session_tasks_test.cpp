// Calls of tools whose answer is fetched later, in both revisions that have them.
#include "tools/mcp/session_tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <mutex>
#include <vector>

#include "tests/tools/mcp/fake_service.h"
#include "tools/mcp/call_link.h"
#include "tools/mcp/protocol.h"
#include "tools/mcp/session_calls.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// `wait` is always a task, `echo` and `steps` where they take long, `turn` never, `asks` only.
class TaskService final : public FakeService {
 public:
  [[nodiscard]] bool has_tasks() const override { return true; }
  [[nodiscard]] TaskUse task_use(const Request& request) const override {
    const auto& name = request.params->at("name");
    if (name == "turn") return TaskUse::none;
    if (name == "asks") return TaskUse::required;
    return name == "wait" ? TaskUse::always : TaskUse::when_slow;
  }
};

class QuietLink final : public CallLink {
 public:
  QuietLink() : CallLink(std::make_shared<OpenQuestions>()) {}

 protected:
  void send(std::string) override {}
};

class SessionTasksTest : public ::testing::Test {
 protected:
  struct Reply {
    std::shared_ptr<QuietLink> link = std::make_shared<QuietLink>();
    std::atomic<bool> done = false;
    json body;
    int status = 0;
  };

  void SetUp() override {
    calls_ = std::make_unique<SessionCalls>(service_, ClientInfo{}, CallLimits{80, 200});
    (void)protocol_.handle(peer_, read(initialize_text()), {});
  }

  static Message read(const std::string& text) { return read_message(text).value(); }

  static json meta(bool knows_tasks) {
    json capabilities = json::object();
    if (knows_tasks) capabilities["extensions"][tasks_extension] = json::object();
    return {{"io.modelcontextprotocol/protocolVersion", "2026-07-28"},
            {"io.modelcontextprotocol/clientCapabilities", capabilities}};
  }

  // Of 2026-07-28; the reply may be there yet or come later.
  Reply& ask(const std::string& method, json params, bool knows_tasks = true) {
    params["_meta"] = meta(knows_tasks);
    return send(method, params);
  }
  Reply& call(const std::string& tool, bool knows_tasks = true) {
    return ask("tools/call", {{"name", tool}, {"arguments", json::object()}}, knows_tasks);
  }

  // As the session's client says it.
  Reply& send(const std::string& method, const json& params) {
    Reply& reply = replies_.emplace_back();
    json message{
        {"jsonrpc", "2.0"}, {"id", replies_.size()}, {"method", method}, {"params", params}};
    Step step = protocol_.handle(peer_, read(message.dump()), {});
    if (step.kind == Step::Kind::reply) {
      reply.status = step.http_status;
      reply.body = json::parse(step.text);
      reply.done = true;
      return reply;
    }
    EXPECT_EQ(step.kind, Step::Kind::call);
    Request request = step.request;
    EXPECT_TRUE(calls_->submit(step.request, reply.link, [this, &reply, request](Answer answer) {
      reply.body = json::parse(protocol_.reply_text(request, answer));
      reply.status = Protocol::http_status(request, answer);
      reply.done = true;
    }));
    return reply;
  }

  static const json& result(Reply& reply) {
    EXPECT_TRUE(eventually([&] { return reply.done.load(); }));
    EXPECT_TRUE(reply.body.contains("result")) << reply.body;
    return reply.body["result"];
  }
  static int code(Reply& reply) {
    EXPECT_TRUE(eventually([&] { return reply.done.load(); }));
    return reply.body.contains("error") ? reply.body.at("error").at("code").get<int>() : 0;
  }
  json get(const std::string& id) { return result(ask("tasks/get", {{"taskId", id}})); }
  json get_when_over(const std::string& id) {
    json task;
    EXPECT_TRUE(eventually([&] {
      task = get(id);
      return task.at("status") != "working";
    }));
    return task;
  }

  TaskService service_;
  Protocol protocol_{service_};
  Peer peer_;
  std::deque<Reply> replies_;
  std::unique_ptr<SessionCalls> calls_;
};

TEST_F(SessionTasksTest, AQuickCallIsAnsweredAtOnceAndASlowOneByATask) {
  json quick = result(call("echo"));
  EXPECT_EQ(quick.at("resultType"), "complete");
  EXPECT_FALSE(quick.contains("taskId"));
  json slow = result(call("steps"));
  EXPECT_EQ(slow.at("resultType"), "task");
  EXPECT_EQ(slow.at("status"), "working");
  EXPECT_EQ(slow.at("pollIntervalMs"), 500);
  EXPECT_EQ(slow.at("ttlMs"), 600'000);
  auto id = slow.at("taskId").get<std::string>();
  EXPECT_EQ(get(id).at("status"), "working");
  service_.go();
  json over = get_when_over(id);
  EXPECT_EQ(over.at("status"), "completed");
  EXPECT_EQ(over.at("result").at("resultType"), "complete");
  EXPECT_EQ(over.at("resultType"), "complete");
  // It is there again and again, and cancelling it now changes nothing.
  EXPECT_EQ(result(ask("tasks/cancel", {{"taskId", id}})).size(), 2U) << "resultType and _meta";
  EXPECT_EQ(get(id).at("status"), "completed");
}

TEST_F(SessionTasksTest, ClientsOf2025HearOfEachChangeOfATask) {
  std::mutex mutex;
  std::vector<json> heard;
  calls_ = std::make_unique<SessionCalls>(service_, ClientInfo{}, CallLimits{80, 200},
                                          SessionCalls::Over(), [&](std::string said) {
                                            std::scoped_lock lock(mutex);
                                            heard.push_back(json::parse(said));
                                          });
  auto count = [&] {
    std::scoped_lock lock(mutex);
    return heard.size();
  };
  auto begin = [&](const char* tool) {
    return result(send("tools/call",
                       {{"name", tool}, {"arguments", json::object()}, {"task", {{"ttl", 60000}}}}))
        .at("task")
        .at("taskId")
        .get<std::string>();
  };
  const std::string quick = begin("echo");
  ASSERT_TRUE(eventually([&] { return count() == 1; }));
  EXPECT_EQ(heard[0].at("method"), "notifications/tasks/status");
  EXPECT_FALSE(heard[0].contains("id"));
  const json& params = heard[0].at("params");
  EXPECT_EQ(params.at("taskId"), quick);
  EXPECT_EQ(params.at("status"), "completed");
  for (const char* member : {"createdAt", "lastUpdatedAt", "ttl"})
    EXPECT_TRUE(params.contains(member)) << member;
  const std::string stopped = begin("wait");
  (void)result(send("tasks/cancel", {{"taskId", stopped}}));
  ASSERT_TRUE(eventually([&] { return count() == 2; }));
  EXPECT_EQ(heard[1].at("params").at("taskId"), stopped);
  EXPECT_EQ(heard[1].at("params").at("status"), "cancelled");
  // Those of 2026-07-28 fetch it, or ask to be told.
  const std::string modern = result(call("wait")).at("taskId").get<std::string>();
  (void)result(ask("tasks/cancel", {{"taskId", modern}}));
  calls_.reset();
  EXPECT_EQ(count(), 2U);
}

TEST_F(SessionTasksTest, ClientsThatKnowNoTasksGetNone) {
  Reply& slow = call("steps", false);
  service_.go();
  EXPECT_TRUE(result(slow).contains("echo"));
  for (const char* method : {"tasks/get", "tasks/update", "tasks/cancel"}) {
    Reply& refused = ask(method, {{"taskId", "x"}, {"inputResponses", json::object()}}, false);
    EXPECT_EQ(code(refused), -32021) << method;
    EXPECT_EQ(refused.status, 400);
  }
  Reply& needed = call("asks", false);
  EXPECT_EQ(code(needed), -32021);
  EXPECT_TRUE(needed.body.at("error")
                  .at("data")
                  .at("requiredCapabilities")
                  .at("extensions")
                  .contains(tasks_extension));
  // A tool that is none is none, whatever its client knows or sends.
  EXPECT_EQ(result(ask("tools/call",
                       {{"name", "turn"}, {"arguments", json::object()}, {"task", {{"ttl", 1}}}}))
                .at("resultType"),
            "complete");
  for (const char* method : {"tasks/list", "tasks/result"})
    EXPECT_EQ(code(ask(method, {{"taskId", "x"}})), -32601) << method;
  for (const char* method : {"tasks/get", "tasks/update", "tasks/cancel"})
    EXPECT_EQ(code(ask(method, {{"taskId", "guess"}, {"inputResponses", json::object()}})), -32602);
  EXPECT_EQ(code(ask("tasks/get", json::object())), -32602);
}

TEST_F(SessionTasksTest, CancellingReachesWhatRunsBeforeAndAfterItBecameATask) {
  json task = result(call("wait"));
  auto id = task.at("taskId").get<std::string>();
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  EXPECT_EQ(result(ask("tasks/cancel", {{"taskId", id}})).at("resultType"), "complete");
  EXPECT_EQ(get(id).at("status"), "cancelled");
  EXPECT_TRUE(eventually([&] { return service_.cancelled == 1; }));
  EXPECT_EQ(get(id).at("status"), "cancelled") << "what it answers afterwards does not count";
  // A connection that is gone before the call has become a task takes the call with it.
  Reply& gone = ask("tools/call", {{"name", "steps"}, {"arguments", json::object()}});
  gone.link->cancel();
  EXPECT_TRUE(eventually([&] { return calls_->busy() == 1; }));
  service_.go();
  EXPECT_TRUE(eventually([&] { return gone.done.load(); }));
  EXPECT_FALSE(gone.body.contains("taskId"));
}

TEST_F(SessionTasksTest, InputIsAskedForAndTheCallGoesOnWithAllOfIt) {
  json task = result(call("asks"));
  auto id = task.at("taskId").get<std::string>();
  json waiting = get_when_over(id);
  EXPECT_EQ(waiting.at("status"), "input_required");
  EXPECT_EQ(waiting.at("inputRequests").size(), 2U);
  EXPECT_FALSE(waiting.contains("requestState"));
  EXPECT_EQ(result(ask("tasks/update", {{"taskId", id}, {"inputResponses", {{"a", 1}, {"z", 9}}}}))
                .at("resultType"),
            "complete");
  waiting = get(id);
  EXPECT_EQ(waiting.at("status"), "input_required");
  EXPECT_EQ(waiting.at("inputRequests").size(), 1U);
  result(ask("tasks/update", {{"taskId", id}, {"inputResponses", {{"b", 2}}}}));
  json over = get_when_over(id);
  EXPECT_EQ(over.at("result").at("given"), (json{{"a", 1}, {"b", 2}}));
  EXPECT_EQ(over.at("result").at("state"), "s");
}

TEST_F(SessionTasksTest, OnlySoManyAreKept) {
  std::string first;
  for (std::size_t i = 0; i < SessionTasks::most_kept; ++i) {
    json made = result(call("wait"));
    if (first.empty()) first = made.at("taskId").get<std::string>();
  }
  EXPECT_EQ(code(call("wait")), 429);
  // One that is over is kept for its time all the same.
  result(ask("tasks/cancel", {{"taskId", first}}));
  EXPECT_EQ(code(call("wait")), 429);
  EXPECT_EQ(get(first).at("status"), "cancelled");
  EXPECT_EQ(result(call("echo")).at("resultType"), "complete") << "quick ones need none";
  calls_.reset();
  EXPECT_TRUE(eventually([&] { return service_.closed == 1; })) << "nothing is left behind";
}

TEST_F(SessionTasksTest, AClientOf2025AsksForEachTaskAndFetchesItsResult) {
  json tools = result(send("tools/list", json::object()));
  std::map<std::string, std::string> support;
  for (const auto& tool : tools.at("tools"))
    support[tool.at("name")] =
        tool.contains("execution") ? tool.at("execution").at("taskSupport") : json("none");
  EXPECT_EQ(support["echo"], "optional");
  EXPECT_EQ(support["turn"], "none");
  EXPECT_EQ(support["asks"], "required");
  const json arguments{{"name", "steps"}, {"arguments", json::object()}};
  json with_task = arguments;
  with_task["task"] = {{"ttl", 120'000}};
  json task = result(send("tools/call", with_task)).at("task");
  EXPECT_EQ(task.at("status"), "working");
  EXPECT_EQ(task.at("ttl"), 120'000);
  EXPECT_EQ(task.at("pollInterval"), 500);
  auto id = task.at("taskId").get<std::string>();
  EXPECT_EQ(result(send("tasks/get", {{"taskId", id}})).at("status"), "working");
  Reply& waits = send("tasks/result", {{"taskId", id}});
  EXPECT_FALSE(waits.done);
  service_.go();
  EXPECT_EQ(result(waits).at("_meta").at("io.modelcontextprotocol/related-task").at("taskId"), id);
  EXPECT_TRUE(result(waits).contains("echo"));
  json listed = result(send("tasks/list", json::object())).at("tasks");
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].at("status"), "completed");
  EXPECT_EQ(code(send("tasks/cancel", {{"taskId", id}})), -32602) << "it is over";
  EXPECT_EQ(code(send("tasks/update", {{"taskId", id}})), -32601);
  with_task["name"] = "turn";
  EXPECT_EQ(code(send("tools/call", with_task)), -32601);
  EXPECT_EQ(code(send("tools/call", {{"name", "asks"}})), -32601);
  EXPECT_EQ(code(send("tools/call", {{"name", "echo"}, {"task", 1}})), -32602);
  // Cancelled while somebody waits for it.
  with_task["name"] = "wait";
  id = result(send("tools/call", with_task)).at("task").at("taskId");
  Reply& in_vain = send("tasks/result", {{"taskId", id}});
  EXPECT_EQ(result(send("tasks/cancel", {{"taskId", id}})).at("status"), "cancelled");
  EXPECT_EQ(code(in_vain), -32603);
  // Times to live that are no times.
  for (const json& ttl : {json(-5), json(0), json(1e300), json("long"), json(nullptr)}) {
    json odd{{"name", "echo"}, {"task", {{"ttl", ttl}}}};
    auto given = result(send("tools/call", odd)).at("task").at("ttl").get<std::int64_t>();
    EXPECT_GE(given, 1);
    EXPECT_LE(given, 3'600'000);
  }
}

}  // namespace
}  // namespace gyges::mcp
