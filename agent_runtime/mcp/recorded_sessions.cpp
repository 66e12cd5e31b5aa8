#include "agent_runtime/mcp/recorded_sessions.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <mutex>

#include "agent_runtime/mcp/session_record.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/isolation/pool.h"
#include "sandbox/network/gateway_process.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox/run/run_inputs.h"
#include "tools/shell_session.h"
#include "tools/tool_registry.h"
#include "tools/tool_state.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds progress_interval{500};
constexpr std::size_t max_id_bytes = 256;
constexpr std::size_t max_tool_name_bytes = 256;
constexpr const char* sandbox_ended = "the sandbox ended";
constexpr std::chrono::hours longest_wait_for_session{
    24};  // of one with a network, for its session
// What keeps no state between calls, so that calls of it may run side by side.
constexpr std::array<std::string_view, 7> tools_without_state = {
    "bash", "python", "read_file", "write_file", "list_dir", "search", "http_request"};

// What of them the registry holds is served.
constexpr std::array<std::string_view, 8> sensible_tools = {
    "bash", "bash_session", "python", "read_file", "write_file", "edit_file", "list_dir", "search"};

bool has_network(const isolation::Policy& policy) {
  return policy.network.mode != network::NetworkPolicy::Mode::none;
}

Result<std::vector<ToolEntry>> entries_of(const std::vector<std::string>& names) {
  std::vector<ToolEntry> entries;
  for (const std::string& name : names) {
    const tools::Tool* tool = tools::find_tool(name);
    if (tool == nullptr)
      return fail("offer tool", quoted(name), "there is no such tool",
                  "name some of " + join({default_tools()}, ", "));
    json declaration{{"name", name},
                     {"description", std::string(tool->description())},
                     {"inputSchema", json::parse(tool->parameters())}};
    entries.push_back({name, json_text(declaration), {}});
  }
  return entries;
}

// Claude Code and Codex say which call of the conversation with the model this is; other clients
// have nothing but the request's id.
std::string id_in_conversation(const Request& request) {
  auto meta = request.params->find("_meta");
  if (meta != request.params->end() && meta->is_object())
    for (const char* key : {"claudecode/toolUseId", "callId"})
      if (auto id = meta->find(key); id != meta->end() && id->is_string() &&
                                     id->get_ref<const std::string&>().size() <= max_id_bytes)
        return id->get<std::string>();
  return request.id;
}

Answer answer_of(const tools::ToolResult& result, const Request& request) {
  if (result.error && result.error->type == "arguments" &&
      request.revision == Revision::r2025_06_18)
    return fault_answer(Code::invalid_params, result.error->message);
  Answer answer;
  answer.result = R"({"content":[{"type":"text","text":)" + json_string(result.output) +
                  R"(}],"isError":)" + (result.failed() ? "true" : "false") + "}";
  return answer;
}

}  // namespace

std::vector<std::string> default_tools() {
  std::vector<std::string> names;
  for (std::string_view name : sensible_tools)
    if (tools::find_tool(name) != nullptr) names.emplace_back(name);
  return names;
}

struct RecordedSessions::Parts {
  SessionOptions options;
  recorder::Recorder* recorder = nullptr;
  run::RunInputs inputs;
  std::vector<ToolEntry> tools;
  // Without a network all sessions take from one pool.
  std::unique_ptr<isolation::SandboxPool> pool;
  // With one, a sandbox's flows go to the bundle of its session, which has no name before that
  // begins: each has a route that is led there then.
  struct Ahead {
    std::shared_ptr<run::FlowRoute> route;
    std::unique_ptr<isolation::SandboxPool> one;
  };
  std::mutex mutex;
  std::deque<Ahead> ahead;

  [[nodiscard]] isolation::SandboxSpec spec() const {
    isolation::SandboxSpec spec;
    spec.policy = inputs.policy;
    spec.seed = inputs.seed;
    spec.allow_degraded = options.allow_degraded;
    spec.packed_world = inputs.packed_world;
    spec.disguise = inputs.disguise;
    return spec;
  }
  [[nodiscard]] Ahead make_ahead() const {
    auto route = std::make_shared<run::FlowRoute>();
    isolation::SandboxSpec with_route = spec();
    with_route.flows = [route](network::Flow flow) { return route->take(std::move(flow)); };
    return {route, isolation::SandboxPool::ahead(std::move(with_route), longest_wait_for_session)};
  }
  // Where all sandboxes share a pool it is empty.
  Ahead take_ahead() {
    if (pool) return {};
    Ahead next = make_ahead();
    const std::lock_guard lock(mutex);
    ahead.push_back(std::move(next));
    next = std::move(ahead.front());
    ahead.pop_front();
    return next;
  }
  void notice(const std::string& line) const {
    if (options.notice) options.notice(line);
  }
};

namespace {

using Parts = RecordedSessions::Parts;

class RecordedSession final : public Session {
 public:
  RecordedSession(const Parts& parts, ClientInfo client, SessionRecord record,
                  std::unique_ptr<run::RecordedSandbox> sandbox)
      : parts_(parts),
        client_(std::move(client)),
        record_(std::move(record)),
        sandbox_(std::move(sandbox)),
        environment_(isolation::command_environment(parts.inputs.policy)),
        store_(record_.bundle().directory() / "blobs") {}

  // Every call has ended.
  ~RecordedSession() override {
    if (reason_.empty() && !sandbox_->sandbox().alive()) reason_ = sandbox_ended;
    isolation::Enforcement enforcement = sandbox_->sandbox().enforcement();
    state_.shell.reset();
    run::RecordEnd end = sandbox_->finish(parts_.inputs.policy.limits, record_.bundle());
    std::string directory = printable(record_.bundle().directory().string());
    auto sealed = record_.seal(parts_.options, parts_.inputs, client_, enforcement, std::move(end),
                               reason_, calls_);
    if (sealed)
      parts_.notice("record: " + directory);
    else
      parts_.notice("record " + directory + " is not sealed: " + printable(sealed.error().line()));
  }

  [[nodiscard]] bool alive() const override { return alive_ && sandbox_->sandbox().alive(); }

  Answer call(const Request& request, Link& link) override {
    auto result = run(request, link);
    if (result) return answer_of(*result, request);
    // What is not recorded is not run: the session ends here.
    std::string reason = "the record could not be written: " + printable(result.error().line());
    parts_.notice(reason);
    end_with(std::move(reason));
    return fault_answer(Code::internal_error, "The record of the session could not be written.");
  }

 private:
  // No further call begins; the first reason counts.
  void end_with(std::string reason) {
    const std::lock_guard lock(mutex_);
    alive_ = false;
    if (reason_.empty()) reason_ = std::move(reason);
  }

  Result<std::uint32_t> request_in_transcript(const Request& request, model::ToolCall& call) {
    const auto& params = *request.params;
    call.id = id_in_conversation(request);
    call.name = params.at("name").get<std::string>();
    call.arguments = params.contains("arguments") ? json_text(params.at("arguments")) : "{}";
    const std::lock_guard lock(mutex_);
    call.call = ++calls_;
    GYGES_CHECK(record_.transcript().tool_requested(call.call, call));
    GYGES_CHECK(record_.transcript().tool_decided(call.call, true, "auto", ""));
    return call.call;
  }

  Result<tools::ToolResult> run(const Request& request, Link& link) {
    model::ToolCall call;
    GYGES_TRY(std::uint32_t number, request_in_transcript(request, call));
    // Marks come from several threads, and while another call's process is adopted: the recorder's
    // sessions take a lock for each.
    recorder::Session* session = sandbox_->session();
    auto begin = Clock::now();
    if (session != nullptr)
      GYGES_CHECK(session->tool_call_started(number, call.name.substr(0, max_tool_name_bytes)));
    tools::ToolResult result =
        tools::call_tool(context(request, link, number), call.name, call.arguments);
    if (session != nullptr) GYGES_CHECK(session->tool_call_ended(number));
    auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin);
    {
      const std::lock_guard lock(mutex_);
      GYGES_CHECK(record_.transcript().tool_executed(
          number, static_cast<std::uint64_t>(took.count()), result));
    }
    if (result.sandbox_lost) {
      end_with(sandbox_ended);
      result.output += "\n[This machine is gone. The next call begins in a new one.]";
    }
    return result;
  }

  tools::ToolContext context(const Request& request, Link& link, std::uint32_t number) {
    const isolation::Policy& policy = parts_.inputs.policy;
    const SessionOptions& options = parts_.options;
    bool has_workspace = policy.filesystem.workspace != isolation::Filesystem::Workspace::none;
    std::uint64_t output = options.output_bytes;
    if (policy.limits.output_bytes != 0) output = std::min(output, policy.limits.output_bytes);
    tools::ToolContext context{.sandbox = sandbox_->sandbox()};
    context.environment = environment_;
    context.home = has_workspace ? options.workspace.string() : policy.identity.home;
    context.call = number;
    context.timeout = options.call_timeout;
    context.deadline = Clock::time_point::max();
    context.output_bytes = output;
    context.store = &store_;
    context.state = &state_;
    context.cancel_fd = link.cancel_fd();
    if (!request.progress_token.empty())
      context.progress = [&link, token = request.progress_token, begin = Clock::now(),
                          next = Clock::now() + progress_interval](std::uint64_t bytes) mutable {
        auto now = Clock::now();
        if (now < next) return;
        next = now + progress_interval;
        auto seconds = std::chrono::duration<double>(now - begin).count();
        json params{{"progress", seconds},
                    {"message", std::to_string(bytes) + " bytes of output so far"}};
        std::string text = json_text(params);
        text.insert(1, "\"progressToken\":" + token + ",");
        link.notify("notifications/progress", text);
      };
    return context;
  }

  const Parts& parts_;
  ClientInfo client_;
  SessionRecord record_;
  std::unique_ptr<run::RecordedSandbox> sandbox_;
  std::vector<std::string> environment_;
  tools::OutputStore store_;
  tools::ToolState state_;
  std::mutex mutex_;  // of the transcript and of what follows
  std::uint32_t calls_ = 0;
  std::atomic<bool> alive_ = true;
  std::string reason_;
};

// "2026-11-28T09-00-00.000Z-mcp-claude-code-1f3a"
std::string directory_name(const ClientInfo& client) {
  std::string time = recorder::utc_timestamp();
  std::replace(time.begin(), time.end(), ':', '-');
  std::string name;
  for (char c : client.name.substr(0, 40))
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
        c == '_')
      name += c;
  return time + "-mcp-" + (name.empty() ? "client" : name) + "-" +
         recorder::new_run_id().substr(0, 8);
}

}  // namespace

RecordedSessions::RecordedSessions(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
RecordedSessions::~RecordedSessions() = default;

Result<std::unique_ptr<RecordedSessions>> RecordedSessions::create(SessionOptions options,
                                                                   recorder::Recorder* recorder) {
  auto parts = std::make_unique<Parts>();
  parts->recorder = recorder;
  GYGES_TRY(parts->tools, entries_of(options.tools.empty() ? default_tools() : options.tools));
  if (has_network(options.policy)) network::GatewayProcess::prepare();
  GYGES_TRY(parts->inputs,
            run::make_run_inputs(options.policy, options.persona, options.seed, 0,
                                 options.workspace, options.records, options.secrets));
  parts->options = std::move(options);
  isolation::SandboxSpec spec = parts->spec();
  if (has_network(parts->inputs.policy)) {
    spec.prepared = true;
    spec.flows = [](const network::Flow&) { return ok(); };
    GYGES_TRY(std::unique_ptr<isolation::Sandbox> tried, isolation::Sandbox::start(spec));
    for (std::uint32_t i = 0; i < parts->options.warm; ++i)
      parts->ahead.push_back(parts->make_ahead());
  } else {
    GYGES_TRY(parts->pool, isolation::SandboxPool::create(
                               std::move(spec), std::max<std::uint32_t>(parts->options.warm, 1)));
  }
  return std::unique_ptr<RecordedSessions>(new RecordedSessions(std::move(parts)));
}

std::string RecordedSessions::capabilities(Revision revision) const {
  switch (revision) {
    case Revision::r2025_06_18:
      return R"({"tools":{},"logging":{}})";
    case Revision::r2025_11_25:
      return R"({"tools":{},"logging":{},"tasks":{"list":{},"cancel":{},)"
             R"("requests":{"tools":{"call":{}}}}})";
    case Revision::r2026_07_28:
      break;
  }
  return std::string(R"({"tools":{},"extensions":{")") + tasks_extension + R"(":{}}})";
}

std::string RecordedSessions::lane(const Request& request) const {
  auto name = request.params->at("name").get<std::string>();
  bool alone = std::find(tools_without_state.begin(), tools_without_state.end(), name) ==
               tools_without_state.end();
  return alone ? name : std::string();
}

std::string RecordedSessions::server_info() const {
  const std::string& name = parts_->options.server_name;
  if (name.empty()) return Service::server_info();
  return json_text({{"name", name}, {"version", "1.0.0"}});
}

std::string RecordedSessions::instructions() const {
  return "Tools that work in a Linux machine of this session's own. Files written in one call are "
         "there in the next.";
}

const std::vector<ToolEntry>& RecordedSessions::tools() const {
  return parts_->tools;
}

Result<std::unique_ptr<Session>> RecordedSessions::open(const ClientInfo& client) {
  GYGES_TRY(SessionRecord record,
            SessionRecord::create(parts_->options.records / directory_name(client)));
  Parts::Ahead ahead = parts_->take_ahead();
  auto sandbox = run::RecordedSandbox::start(parts_->spec(), record.bundle(), parts_->recorder,
                                             parts_->pool ? parts_->pool.get() : ahead.one.get(),
                                             std::move(ahead.route));
  if (!sandbox) {
    record.discard();
    return tl::unexpected<Error>(std::move(sandbox.error()));
  }
  return std::make_unique<RecordedSession>(*parts_, client, std::move(record), std::move(*sandbox));
}

}  // namespace gyges::mcp
