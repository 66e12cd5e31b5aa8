#include "sandbox/cues/audit/probe_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/network/gateway_process.h"
#include "sandbox/recorder/recorder.h"

extern "C" const char gyges_probe_program_begin[];
extern "C" const char gyges_probe_program_end[];

namespace gyges::cues {
namespace {

using Clock = std::chrono::steady_clock;

// Everything until the end of file, with a limit in bytes and time.
Result<std::string> collect(int fd, Clock::time_point deadline) {
  std::string text;
  char chunk[1U << 16U];
  for (;;) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return fail("run probe", "", "it did not end in time", "see what holds it up");
    pollfd wait{fd, POLLIN, 0};
    int ready = ::poll(&wait, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return fail_errno("wait for", "probe");
    if (ready <= 0) continue;
    ssize_t got = ::read(fd, chunk, sizeof(chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read from", "probe");
    if (got == 0) return text;
    text.append(chunk, static_cast<std::size_t>(got));
    if (text.size() > max_reading_bytes)
      return fail("run probe", "", "it says more than a probe can",
                  "what runs there is not the probe");
  }
}

struct Child {
  pid_t pid = -1;
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid > 0) {
      ::kill(-pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  Result<int> wait() {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
      if (errno != EINTR) return fail_errno("wait for", "probe");
    pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
};

// Starts argv in a process group of its own, with `input` and a pipe as output.
Result<std::string> run_program(const std::vector<std::string>& argv, int input,
                                const ProbeRequest& request) {
  GYGES_TRY(Pipe output, make_pipe());
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output.write.get(), STDOUT_FILENO);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  Child child;
  int error = ::posix_spawnp(&child.pid, words[0], &actions, &attributes, words.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    child.pid = -1;
    return fail_errno("start", argv[0], error, "name a program that is installed");
  }
  output.write.reset();
  GYGES_TRY(std::string text, collect(output.read.get(), Clock::now() + request.limit));
  GYGES_TRY(int status, child.wait());
  if (status != 0)
    return fail("run probe", join(argv, " ").substr(0, 200),
                "the command ended with status " + std::to_string(status),
                "see what it says on standard error");
  return text;
}

}  // namespace

std::string_view probe_program() {
  return {gyges_probe_program_begin,
          static_cast<std::size_t>(gyges_probe_program_end - gyges_probe_program_begin)};
}

Status extract_probe(const std::filesystem::path& file) {
  int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
  if (fd < 0)
    return fail_errno("make", file.string(), errno, "name a file that does not exist yet");
  UniqueFd owned(fd);
  return write_all(fd, probe_program());
}

Result<std::string> probe_sandbox(const SandboxToProbe& sandbox, recorder::Recorder* recorder,
                                  const ProbeRequest& request) {
  isolation::SandboxSpec spec = sandbox.spec;
  std::unique_ptr<recorder::Session> session;
  std::optional<TemporaryDirectory> record;
  if (recorder != nullptr) {
    GYGES_TRY(record, TemporaryDirectory::create("gyges-audit"));
    recorder::SessionOptions options;
    options.trace_file = record->path() / "trace.gyt";
    options.buffer_bytes = spec.policy.recorder.buffer_bytes;
    options.contents = recorder::content_bits(spec.policy.recorder.contents);
    options.content_bytes = spec.policy.recorder.content_bytes;
    GYGES_TRY(session, recorder->start(options));
    spec.session = session.get();
  }
  if (spec.policy.network.mode != network::NetworkPolicy::Mode::none) {
    network::GatewayProcess::prepare();
    if (!spec.flows) spec.flows = [](const network::Flow&) { return ok(); };
  }
  GYGES_TRY(std::unique_ptr<isolation::Sandbox> running, isolation::Sandbox::start(spec));
  if (session) GYGES_CHECK(session->wait_until_open());
  GYGES_TRY(UniqueFd program, make_sealed_memfd("probe", probe_program()));
  GYGES_TRY(Pipe output, make_pipe());
  isolation::Command command;
  command.argv = {"/proc/self/fd/0"};
  command.argv.insert(command.argv.end(), request.arguments.begin(), request.arguments.end());
  command.environment = sandbox.environment;
  command.directory = sandbox.directory;
  command.standard_input = program.get();
  command.standard_output = output.write.get();
  GYGES_TRY(isolation::CommandId id, running->spawn(command));
  output.write.reset();
  auto deadline = Clock::now() + request.limit;
  auto text = collect(output.read.get(), deadline);
  if (!text) return text;
  GYGES_TRY(auto end, running->wait(id, deadline));
  if (end && !end->start_error.empty())
    return fail("run probe", "", end->start_error,
                "the policy must let the sandbox have /proc and execute files without a name");
  if (!end || end->signal != 0 || end->exit_code != 0)
    return fail("run probe", "",
                end && end->signal != 0 ? "it was killed by signal " + std::to_string(end->signal)
                                        : "it failed",
                "the policy's limits or its filter end it; see `gyges policy explain`");
  GYGES_TRY([[maybe_unused]] isolation::SandboxEnd ended, running->stop(""));
  if (session) {
    running.reset();
    GYGES_TRY([[maybe_unused]] auto coverage, session->close());
  }
  return text;
}

Result<std::string> probe_host(const ProbeRequest& request) {
  GYGES_TRY(UniqueFd program, make_sealed_memfd("probe", probe_program()));
  std::vector<std::string> argv = {"/proc/self/fd/" + std::to_string(program.get())};
  // Executed by the child: the descriptor closes at its exec, after the file was opened.
  argv.insert(argv.end(), request.arguments.begin(), request.arguments.end());
  UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return fail_errno("open", "/dev/null");
  return run_program(argv, null.get(), request);
}

Result<std::string> probe_container(const std::vector<std::string>& prefix,
                                    const ProbeRequest& request) {
  // The probe's own arguments follow $0; it is gone from the file system before it is executed only
  // where the shell can still execute it, so it stays until its end.
  static constexpr const char* script =
      "for d in /tmp /dev/shm /var/tmp .; do p=$d/.p$$; "
      // Not every sandbox lets its /dev/null be opened.
      "cat > $p 2>&- && chmod 755 $p && break; done; "
      "if (: </dev/null) 2>&-; then $p \"$@\" </dev/null; else $p \"$@\" <&-; fi; "
      "s=$?; rm -f $p; exit $s";
  std::vector<std::string> argv = prefix;
  for (const char* word : {"/bin/sh", "-c", script, "sh"}) argv.emplace_back(word);
  argv.insert(argv.end(), request.arguments.begin(), request.arguments.end());
  GYGES_TRY(UniqueFd program, make_sealed_memfd("probe", probe_program()));
  return run_program(argv, program.get(), request);
}

Result<std::vector<std::string>> split_command(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
      continue;
    }
    inside = true;
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      word += line[++i];
    } else {
      word += c;
    }
  }
  if (quote != 0) return fail("read command", line, "a quotation does not end", "close it");
  if (inside) words.push_back(std::move(word));
  if (words.empty()) return fail("read command", line, "it is empty", "name a program");
  return words;
}

}  // namespace gyges::cues
