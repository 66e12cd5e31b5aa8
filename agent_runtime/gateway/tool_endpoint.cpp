#include "agent_runtime/gateway/tool_endpoint.h"

#include <sys/eventfd.h>
#include <sys/random.h>

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::gateway {
namespace {

using nlohmann::json;

constexpr std::size_t longest_id = 256;
constexpr std::string_view parameter_header = "mcp-param-";

std::string lower(std::string_view text) {
  std::string made(text);
  for (char& c : made)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return made;
}

mcp::Headers headers_of(const HttpRequest& request) {
  mcp::Headers headers;
  headers.http = true;
  for (const auto& [name, value] : request.head.headers) {
    std::string key = lower(name);
    if (key == "mcp-protocol-version") headers.version = value;
    if (key == "mcp-method") headers.method = value;
    if (key == "mcp-name") headers.name = value;
    if (key.starts_with(parameter_header))
      headers.parameters[key.substr(parameter_header.size())] = value;
  }
  return headers;
}

// 32 hexadecimal digits; empty where the kernel gives no random bytes.
std::string random_id() {
  std::array<char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  return to_hex(sha256(std::string_view(bytes.data(), bytes.size()))).substr(0, 32);
}

// Claude Code and Codex say which call of their model this is.
std::string id_in_conversation(const mcp::Request& request) {
  auto meta = request.params->find("_meta");
  if (meta == request.params->end() || !meta->is_object()) return {};
  for (const char* key : {"claudecode/toolUseId", "callId"})
    if (auto id = meta->find(key); id != meta->end() && id->is_string() &&
                                   id->get_ref<const std::string&>().size() <= longest_id)
      return id->get<std::string>();
  return {};
}

mcp::Answer answer_with(const std::string& text, bool failed) {
  mcp::Answer answer;
  answer.result = R"({"content":[{"type":"text","text":)" + mcp::json_string(text) +
                  R"(}],"isError":)" + (failed ? "true" : "false") + "}";
  return answer;
}

}  // namespace

class ToolEndpoint::Tools final : public mcp::Service {
 public:
  Tools(std::string name, const std::vector<tools::ToolSpec>& tools) : name_(std::move(name)) {
    for (const auto& tool : tools) {
      json declaration{{"name", tool.name},
                       {"description", tool.description},
                       {"inputSchema", json::parse(tool.parameters)}};
      entries_.push_back({tool.name, mcp::json_text(declaration), {}});
    }
  }
  [[nodiscard]] std::string capabilities(mcp::Revision) const override { return R"({"tools":{}})"; }
  [[nodiscard]] std::string instructions() const override { return {}; }
  [[nodiscard]] std::string server_info() const override {
    return mcp::json_text({{"name", name_}, {"version", "1.0.0"}});
  }
  [[nodiscard]] const std::vector<mcp::ToolEntry>& tools() const override { return entries_; }
  Result<std::unique_ptr<mcp::Session>> open(const mcp::ClientInfo&) override {
    return fail("open session", name_, "calls are run one by one", "report this as a defect");
  }

 private:
  std::string name_;
  std::vector<mcp::ToolEntry> entries_;
};

// One call under way, which its client can cancel.
class ToolEndpoint::Calling {
 public:
  Calling(ToolEndpoint& endpoint, std::string key)
      : endpoint_(endpoint), key_(std::move(key)), fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    std::scoped_lock lock(endpoint_.mutex_);
    endpoint_.running_[key_] = this;
  }
  ~Calling() {
    std::scoped_lock lock(endpoint_.mutex_);
    auto found = endpoint_.running_.find(key_);
    if (found != endpoint_.running_.end() && found->second == this) endpoint_.running_.erase(found);
  }
  Calling(const Calling&) = delete;
  Calling& operator=(const Calling&) = delete;
  [[nodiscard]] int fd() const { return fd_.get(); }
  void cancel() { (void)::eventfd_write(fd_.get(), 1); }

 private:
  ToolEndpoint& endpoint_;
  std::string key_;
  UniqueFd fd_;
};

struct ToolEndpoint::Said {
  int status = 200;
  std::string body;
  network::HeaderFields headers{};
};

ToolEndpoint::ToolEndpoint(const scaffold::ToolHost& host,
                           const std::vector<tools::ToolSpec>& tools, Run run,
                           ModelEndpoint& record)
    : host_(host),
      service_(std::make_unique<Tools>(host.name, tools)),
      protocol_(*service_),
      run_(std::move(run)),
      record_(record) {}

ToolEndpoint::~ToolEndpoint() = default;

bool ToolEndpoint::serves(const HttpRequest& request) const {
  return request.head.host == host_.host && request.head.port == host_.port;
}

bool ToolEndpoint::handle(const HttpRequest& request, Answer& answer) {
  ExchangeRecord record;
  record.time_ns = trace_time();
  record.method = request.head.method;
  record.host = request.head.host;
  record.target = request.head.target;
  record.tls = request.head.tls;
  record.kind = "tools";
  Said said = answer_of(request, answer);
  bool with_body = request.head.method != "HEAD";
  if (!said.body.empty()) said.headers.emplace_back("Content-Type", "application/json");
  said.headers.emplace_back("Content-Length", std::to_string(said.body.size()));
  record.status = said.status;
  record.broken = !answer.head({said.status, said.headers}) ||
                  (with_body && !said.body.empty() && !answer.body(said.body));
  record.request_body = request.body;
  record.answer_body = std::move(said.body);
  record.duration_ns = trace_time() - record.time_ns;
  record_.log(record);
  return !record.broken;
}

ToolEndpoint::Said ToolEndpoint::answer_of(const HttpRequest& request, Answer& answer) {
  std::string_view target = request.head.target;
  if (target.substr(0, target.find('?')) != host_.path) return {404, R"({"error":"Not Found"})"};
  if (request.head.method == "DELETE") {
    std::string session(request.header("Mcp-Session-Id"));
    std::scoped_lock lock(mutex_);
    bool known =
        std::erase_if(sessions_, [&](const auto& one) { return one.first == session; }) > 0;
    return {known ? 200 : 404, ""};
  }
  if (request.head.method != "POST")
    return {405, R"({"error":"Method Not Allowed"})", {{"Allow", "POST, DELETE"}}};
  return take(request, headers_of(request), answer);
}

ToolEndpoint::Said ToolEndpoint::take(const HttpRequest& request, const mcp::Headers& headers,
                                      Answer& answer) {
  auto message = mcp::read_message(request.body);
  if (!message) {
    mcp::Step step = protocol_.refuse(message.error());
    return {step.http_status, step.text};
  }
  std::string session(request.header("Mcp-Session-Id"));
  mcp::Peer peer;
  const bool begins = message->method == "initialize";
  if (!mcp::Protocol::is_stateless(*message, headers) && !begins) {
    auto known = peer_of(session);
    auto refused = [&](int status, const char* why) {
      return Said{status, mcp::error_text(message->id, {mcp::Code::invalid_request, why, {}})};
    };
    if (session.empty()) return refused(400, "The header Mcp-Session-Id is missing.");
    if (!known) return refused(404, "There is no such session.");
    peer = std::move(*known);
  }
  mcp::Step step = protocol_.handle(peer, *message, headers);
  using Kind = mcp::Step::Kind;
  if (step.kind == Kind::call) {
    mcp::Answer given = call(step.request, session, answer);
    return {mcp::Protocol::http_status(step.request, given),
            protocol_.reply_text(step.request, given)};
  }
  if (step.kind == Kind::cancel) {
    std::scoped_lock lock(mutex_);
    if (auto found = running_.find(session + '\n' + step.text); found != running_.end())
      found->second->cancel();
  }
  if (step.kind != Kind::reply) return {202, ""};
  Said said{step.http_status, step.text};
  if (step.initialized) said.headers.emplace_back("Mcp-Session-Id", begin_session(peer));
  return said;
}

std::string ToolEndpoint::begin_session(const mcp::Peer& peer) {
  std::string id = random_id();
  std::scoped_lock lock(mutex_);
  if (sessions_.size() == most_sessions) sessions_.pop_front();
  sessions_.emplace_back(id, peer);
  return id;
}

std::optional<mcp::Peer> ToolEndpoint::peer_of(const std::string& session) {
  std::scoped_lock lock(mutex_);
  for (auto one = sessions_.begin(); one != sessions_.end(); ++one)
    if (one->first == session) {
      sessions_.splice(sessions_.end(), sessions_, one);
      return one->second;
    }
  return std::nullopt;
}

mcp::Answer ToolEndpoint::call(const mcp::Request& request, const std::string& session,
                               Answer& answer) {
  const json& params = *request.params;
  ToolRun run;
  run.tool = params.at("name").get<std::string>();
  std::string arguments =
      params.contains("arguments") ? mcp::json_text(params.at("arguments")) : "{}";
  auto begun = [&] {
    model::Cancellation unwanted;
    WhenGone leaving(answer, [&unwanted] { unwanted.cancel(); });
    return record_.begin_served(run.tool, arguments, id_in_conversation(request), &unwanted);
  }();
  if (!begun) return mcp::fault_answer(mcp::Code::internal_error, "The server is shutting down.");
  if (begun->refused) return answer_with(*begun->refused, true);
  Calling calling(*this, session + '\n' + request.id);
  run.call = begun->call;
  run.arguments = begun->arguments;
  run.cancel_fd = calling.fd();
  WhenGone leaving(answer, [&calling] { calling.cancel(); });
  std::uint64_t begin = trace_time();
  tools::ToolResult result =
      run.cancel_fd < 0 ? tools::error_result("unavailable", "The server is busy; try again later.")
                        : run_(run);
  record_.end_served(run.call, trace_time() - begin, result);
  return answer_with(result.output, result.failed());
}

}  // namespace gyges::gateway
