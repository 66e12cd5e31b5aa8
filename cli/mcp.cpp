// gyges mcp serve: sandboxed tools for any client of the Model Context Protocol.
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "agent_runtime/mcp/recorded_sessions.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/degraded_option.h"
#include "cli/open_recorder.h"
#include "cli/record_place.h"
#include "cli/seal_key_option.h"
#include "sandbox/isolation/plan.h"
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
  bool quiet = false;
};

// The signals that end the server, as a descriptor; blocked from here on, in threads made later
// too.
Result<UniqueFd> stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("block signals", "");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("watch for signals", "");
  return fd;
}

Result<mcp::SessionOptions> session_options(const ServeOptions& options) {
  mcp::SessionOptions session;
  GYGES_TRY(session.policy, isolation::load_policy(options.policy));
  if (!options.persona.empty()) session.persona = options.persona;
  session.seed = options.seed;
  session.allow_degraded = options.allow_degraded;
  std::error_code code;
  session.workspace = options.workspace.empty()
                          ? std::filesystem::current_path(code)
                          : std::filesystem::canonical(options.workspace, code);
  if (code)
    return fail_errno("find working directory", options.workspace, code.value(),
                      "name a directory that exists with --workspace DIR");
  if (options.out.empty()) {
    GYGES_TRY(session.records, default_records());
  } else {
    session.records = std::filesystem::absolute(options.out, code);
    std::filesystem::create_directories(session.records, code);
    if (code) return fail_errno("make directory", options.out, code.value());
  }
  session.tools = options.tools;
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

Status serve(const ServeOptions& options) {
  GYGES_TRY(UniqueFd stop, stop_signals());
  GYGES_TRY(mcp::SessionOptions session, session_options(options));
  recorder::RecorderOptions recorder_options;
  recorder_options.ring_bytes = session.policy.recorder.ring_bytes;
  recorder_options.io_uring = isolation::may_use_io_uring(session.policy);
  GYGES_TRY(std::unique_ptr<recorder::Recorder> recorder,
            open_recorder(options.recorder, recorder_options));
  GYGES_TRY(std::unique_ptr<mcp::RecordedSessions> service,
            mcp::RecordedSessions::create(std::move(session), recorder.get()));
  return mcp::serve_stdio(*service, {STDIN_FILENO, STDOUT_FILENO, stop.get()});
}

void add_serve_options(CLI::App& command, ServeOptions& options) {
  command.add_option("--policy", options.policy, "name of a preset, or path of a policy file")
      ->capture_default_str();
  command.add_option("--persona", options.persona,
                     "the machine the tools work in: a shipped persona or a manifest's path");
  command.add_option("--seed", options.seed, "of what the persona generates")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 53U));
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
  serve_command->footer(
      "Speaks MCP 2025-06-18, 2025-11-25 and 2026-07-28 on standard input and output, until the\n"
      "client closes its end or SIGTERM, SIGINT or SIGHUP comes. The session's run bundle is\n"
      "sealed then.\n\n"
      "Exit status: 0 when the session ended so; 125 for an error of gyges itself.\n\n"
      "Examples:\n"
      "  claude mcp add gyges -- gyges mcp serve --workspace /path/to/project\n"
      "  codex -c 'mcp_servers.gyges={command=\"gyges\",args=[\"mcp\",\"serve\"]}'");
  serve_command->callback([options, &exit_status] {
    auto status = serve(*options);
    exit_status = status ? 0 : report(status.error());
  });
}

}  // namespace gyges::cli
