// gyges mcp serve: sandboxed tools for any client of the Model Context Protocol.
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "agent_runtime/mcp/recorded_sessions.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/degraded_option.h"
#include "cli/open_recorder.h"
#include "cli/own_session.h"
#include "cli/record_place.h"
#include "cli/seal_key_option.h"
#include "cli/working_directory.h"
#include "cli/stop_signals.h"
#include "sandbox/isolation/plan.h"
#include "tools/mcp/conformance_fixtures.h"
#include "tools/mcp/http_server.h"
#include "tools/mcp/stdio_server.h"

namespace gyges::cli {
namespace {

struct ServeOptions {
  std::string policy = "default";
  std::string persona;
  std::uint64_t seed = 0;
  std::string recorder = "auto";
  std::string out;
  std::string workspace;
  std::vector<std::string> allow_degraded;
  std::vector<std::string> tools;
  std::uint64_t call_seconds = 600;
  std::uint64_t output_bytes = 65536;
  std::uint32_t warm = 2;
  std::string server_name;
  std::string http;
  std::string token_file;
  mcp::HttpOptions server;
  std::uint64_t idle_seconds = 1800;
  bool conformance_fixtures = false;
  bool quiet = false;
};

Result<mcp::SessionOptions> session_options(const ServeOptions& options) {
  mcp::SessionOptions session;
  GYGES_TRY(session.policy, isolation::load_policy(options.policy));
  if (!options.persona.empty()) session.persona = options.persona;
  session.seed = options.seed;
  session.allow_degraded = options.allow_degraded;
  GYGES_TRY(session.workspace, working_directory(options.workspace));
  if (options.out.empty()) {
    GYGES_TRY(session.records, default_records());
  } else {
    std::error_code code;
    session.records = std::filesystem::absolute(options.out, code);
    std::filesystem::create_directories(session.records, code);
    if (code) return fail_errno("make directory", options.out, code.value());
  }
  if (!options.token_file.empty()) session.secrets.emplace_back(options.token_file);
  session.tools = options.tools;
  session.server_name = options.server_name;
  session.call_timeout = std::chrono::seconds(options.call_seconds);
  session.output_bytes = options.output_bytes;
  session.warm = options.warm;
  // Standard output is the client's.
  if (!options.quiet)
    session.notice = [](const std::string& line) {
      std::fprintf(stderr, "gyges: %s\n", line.c_str());
    };
  return session;
}

// "8931", "127.0.0.1:8931", "[::1]:8931".
Status read_address(const std::string& text, mcp::HttpOptions& server) {
  std::size_t colon = text.rfind(':');
  std::string port = colon == std::string::npos ? text : text.substr(colon + 1);
  if (colon != std::string::npos) server.address = text.substr(0, colon);
  if (server.address.size() > 2 && server.address.front() == '[' && server.address.back() == ']')
    server.address = server.address.substr(1, server.address.size() - 2);
  const char* end = port.data() + port.size();
  if (port.empty() || std::from_chars(port.data(), end, server.port).ptr != end)
    return fail("read --http", printable(text), "is not of the form [ADDRESS:]PORT",
                "write for example --http 8931 or --http 127.0.0.1:0 for any free port");
  return ok();
}

Result<std::string> read_token(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return fail_errno("read token", printable(file));
  if ((info.st_mode & 077U) != 0)
    return fail("read token", printable(file), "other users may read or change it",
                "chmod 600 it, and use another token if it was in use");
  GYGES_TRY(std::string token, read_file(file, 4096));
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  bool printable_ascii = true;
  for (char c : token) printable_ascii = printable_ascii && c > 0x20 && c < 0x7f;
  if (token.size() < 16 || !printable_ascii)
    return fail("read token", printable(file), "is not one line of 16 or more printable characters",
                "make one with: openssl rand -hex 32");
  return token;
}

Status serve_with(mcp::Service& service, const ServeOptions& options, int stop) {
  if (options.http.empty()) {
    mcp::StdioLimits limits;
    limits.calls.parallel = options.server.sessions.calls.parallel;
    return mcp::serve_stdio(service, {STDIN_FILENO, STDOUT_FILENO, stop}, limits);
  }
  mcp::HttpOptions server = options.server;
  GYGES_CHECK(read_address(options.http, server));
  if (!options.token_file.empty()) {
    GYGES_TRY(server.token, read_token(options.token_file));
  }
  server.stop = stop;
  server.sessions.idle = std::chrono::seconds(options.idle_seconds);
  std::string host =
      server.address.find(':') != std::string::npos ? "[" + server.address + "]" : server.address;
  server.listening = [host](std::uint16_t port) {
    std::fprintf(stderr, "gyges: listening on http://%s:%u/mcp\n", host.c_str(), port);
  };
  return mcp::serve_http(service, server);
}

Status serve_here(const ServeOptions& options) {
  GYGES_TRY(UniqueFd stop, stop_signals());
  if (options.conformance_fixtures) {
    auto fixtures = mcp::make_conformance_fixtures();
    return serve_with(*fixtures, options, stop.get());
  }
  GYGES_TRY(mcp::SessionOptions session, session_options(options));
  recorder::RecorderOptions recorder_options;
  recorder_options.ring_bytes = session.policy.recorder.ring_bytes;
  recorder_options.io_uring = isolation::may_use_io_uring(session.policy);
  GYGES_TRY(std::unique_ptr<recorder::Recorder> recorder,
            open_recorder(options.recorder, recorder_options));
  GYGES_TRY(std::unique_ptr<mcp::RecordedSessions> service,
            mcp::RecordedSessions::create(std::move(session), recorder.get()));
  return serve_with(*service, options, stop.get());
}

// The exit status.
Result<int> serve(const ServeOptions& options) {
  if (options.http.empty()) {
    GYGES_TRY(std::optional<int> ended, go_on_in_own_session());
    if (ended) return *ended;
  }
  GYGES_CHECK(serve_here(options));
  return 0;
}

void add_http_options(CLI::App& command, ServeOptions& options) {
  command.add_option("--http", options.http,
                     "serve streamable HTTP at [ADDRESS:]PORT instead of standard input and output "
                     "(address: 127.0.0.1; port 0: any)");
  command.add_option("--token-file", options.token_file,
                     "file with a bearer token that HTTP clients must give; its mode must be 600");
  command.add_option("--allow-host", options.server.allowed_hosts,
                     "a name beside localhost that requests may be addressed to");
  command.add_option("--allow-origin", options.server.allowed_origins,
                     "an origin whose pages may send requests, as https://app.example.com");
  command.add_option("--max-sessions", options.server.sessions.sessions, "sessions at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command
      .add_option("--max-waiting-calls", options.server.sessions.calls.waiting,
                  "calls of one session that wait for their turn")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command
      .add_option("--max-rate", options.server.sessions.rate,
                  "requests a second of one client address")
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  command.add_option("--max-connections", options.server.connections, "connections at once")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command.add_option("--max-body", options.server.body_bytes, "bytes of one request's body")
      ->check(CLI::Range(1024, 1 << 28))
      ->capture_default_str();
  command
      .add_option("--idle-seconds", options.idle_seconds,
                  "end HTTP sessions that have called nothing for so long")
      ->check(CLI::Range(1, 86400 * 30))
      ->capture_default_str();
  command.add_flag("--conformance-fixtures", options.conformance_fixtures,
                   "serve what the MCP conformance suite calls by name, and no real tools");
}

void add_serve_options(CLI::App& command, ServeOptions& options) {
  command.add_option("--policy", options.policy, "name of a preset, or path of a policy file")
      ->capture_default_str();
  command.add_option("--persona", options.persona,
                     "the machine the tools work in: a shipped persona or a manifest's path");
  command.add_option("--seed", options.seed, "of what the persona generates")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 53U));
  command.add_option("--server-name", options.server_name,
                     "what clients are told the server is called (gyges), where the agent should "
                     "not learn of a sandbox");
  add_seal_key_option(command);
  command.add_option("--recorder", options.recorder, recorder_help)
      ->check(CLI::IsMember({"auto", "ebpf", "ptrace", "off"}))
      ->capture_default_str();
  command.add_option("--out", options.out,
                     "directory that gets a run bundle for each session (default: "
                     "$XDG_STATE_HOME/gyges/runs)");
  command.add_option("--workspace", options.workspace,
                     "directory that the tools work in (default: the current one)");
  add_degraded_option(command, options.allow_degraded);
  command.add_option("--tools", options.tools, "names of the tools to offer, separated by commas")
      ->delimiter(',');
  command.add_option("--call-seconds", options.call_seconds, "longest time of one call")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  command
      .add_option("--output-bytes", options.output_bytes,
                  "of a call's output that the client is given; the middle is left out")
      ->check(CLI::Range(1024, 1 << 24))
      ->capture_default_str();
  command
      .add_option("--max-parallel-calls", options.server.sessions.calls.parallel,
                  "calls of one session that run at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--warm", options.warm, "sandboxes that stand ready for new sessions")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_flag("--quiet,-q", options.quiet, "print nothing of our own but errors");
}

}  // namespace

void add_mcp(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = root.add_subcommand("mcp", "Sandboxed tools for MCP clients");
  command->require_subcommand(1);
  CLI::App* serve_command = command->add_subcommand(
      "serve", "Serve tools that run in recorded sandboxes, one sandbox for each session");
  add_serve_options(*serve_command, *options);
  add_http_options(*serve_command, *options);
  serve_command->footer(
      "Speaks MCP 2025-06-18, 2025-11-25 and 2026-07-28 on standard input and output, until the\n"
      "client closes its end or SIGTERM, SIGINT or SIGHUP comes; with --http until such a signal.\n"
      "A session's run bundle is sealed when the session ends: its client ended it, it was idle, "
      "or\n"
      "the server ends.\n\n"
      "Exit status: 0 when it ended so; 125 for an error of gyges itself.\n\n"
      "Examples:\n"
      "  claude mcp add gyges -- gyges mcp serve --workspace /path/to/project\n"
      "  codex -c 'mcp_servers.gyges={command=\"gyges\",args=[\"mcp\",\"serve\"]}'");
  serve_command->callback([options, &exit_status] {
    auto status = serve(*options);
    exit_status = status ? *status : report(status.error());
  });
}

}  // namespace gyges::cli
