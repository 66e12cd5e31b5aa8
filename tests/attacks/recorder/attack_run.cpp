#include "attack_run.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fd.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::attacks {
namespace {

using recorder::Backend;

constexpr std::string_view program_inside = "/attack/recorder_attacks";

std::string read_output(int descriptor) {
  std::string output;
  char chunk[65536];
  for (;;) {
    const ssize_t length = read(descriptor, chunk, sizeof(chunk));
    if (length <= 0) return output;
    if (output.size() < (1U << 20U)) output.append(chunk, static_cast<std::size_t>(length));
  }
}

[[noreturn]] void execute(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  execvp(pointers[0], pointers.data());
  _exit(127);
}

}  // namespace

long Attempt::said(const std::string& name) const {
  const std::size_t at = ("\n" + output).find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::atol(output.c_str() + at + name.size() + 1);
}

Attempt unguarded(const std::vector<std::string>& arguments,
                  const std::vector<std::string>& wrapper) {
  std::vector<std::string> argv = wrapper;
  argv.emplace_back(GYGES_ATTACKS);
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  Pipe pipe = *make_pipe();
  const pid_t keeper = fork();
  if (keeper == 0) {
    const int user = geteuid() == 0 ? 0 : CLONE_NEWUSER;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | user) != 0) _exit(99);
    const pid_t first = fork();
    if (first == 0) {
      // The private mounts keep what the attempt leaves in /tmp away from the machine.
      if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount("proc", "/proc", "proc", 0, nullptr) != 0)
        _exit(99);
      dup2(pipe.write.get(), 1);
      if (fork() == 0) {
        std::vector<std::string> quiet = argv;
        execute(quiet);
      }
      int status = 0;
      wait(&status);
      _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
    int status = 0;
    waitpid(first, &status, 0);
    _exit(WEXITSTATUS(status));
  }
  pipe.write.reset();
  Attempt result;
  result.output = read_output(pipe.read.get());
  int status = 0;
  waitpid(keeper, &status, 0);
  const int code = WEXITSTATUS(status);
  if (code > 128)
    result.signal = code - 128;
  else
    result.exit_code = code;
  return result;
}

void AttackTest::SetUp() {
  if (bpf() && geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  auto directory = TemporaryDirectory::create("gyges_attack_");
  ASSERT_TRUE(directory) << directory.error().line();
  directory_ = std::move(*directory);
  auto opened = recorder::Recorder::open(GetParam(), {});
  ASSERT_TRUE(opened) << opened.error().line();
  recorder_ = std::move(*opened);
}

std::filesystem::path AttackTest::trace_file() const {
  return directory_->path() / ("trace" + std::to_string(attempts_) + ".gyt");
}

Attempt AttackTest::attempt(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {std::string(program_inside)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return command(argv);
}

Attempt AttackTest::command(const std::vector<std::string>& argv) {
  ++attempts_;
  Attempt result;
  auto policy = isolation::load_policy("default");
  if (!policy) {
    ADD_FAILURE() << policy.error().line();
    return result;
  }
  policy->filesystem.workspace = isolation::Filesystem::Workspace::none;
  policy->limits.wall_seconds = 60;
  isolation::Mount programs;
  programs.target = "/attack";
  programs.source = std::filesystem::path(GYGES_ATTACKS).parent_path();
  policy->filesystem.mounts.push_back(programs);

  recorder::SessionOptions options;
  options.trace_file = trace_file();
  auto session = recorder_->start(options);
  if (!session) {
    ADD_FAILURE() << session.error().line();
    return result;
  }
  auto sandbox = isolation::Sandbox::start({*policy, {}, session->get()});
  if (!sandbox) {
    ADD_FAILURE() << sandbox.error().line();
    return result;
  }
  Pipe pipe = *make_pipe();
  isolation::Command command;
  command.argv = argv;
  command.environment = isolation::command_environment(*policy);
  command.directory = "/";
  command.standard_output = pipe.write.get();
  command.standard_error = pipe.write.get();
  command.tool_call = 7;
  auto id = (*sandbox)->spawn(command);
  if (!id) {
    ADD_FAILURE() << id.error().line();
    return result;
  }
  pipe.write.reset();
  result.output = read_output(pipe.read.get());
  auto end = (*sandbox)->wait(*id, std::chrono::steady_clock::now() + std::chrono::seconds(60));
  if (!end || !*end) {
    ADD_FAILURE() << (end ? "the attempt did not end" : end.error().line());
    return result;
  }
  result.exit_code = (*end)->exit_code;
  result.signal = (*end)->signal;
  EXPECT_EQ((*end)->start_error, "");
  EXPECT_TRUE((*sandbox)->stop(""));
  auto coverage = (*session)->close();
  if (!coverage) {
    ADD_FAILURE() << coverage.error().line();
    return result;
  }
  result.coverage = *coverage;
  EXPECT_TRUE(coverage->complete);
  EXPECT_EQ(coverage->counters.lost, 0U);
  EXPECT_EQ(coverage->counters.enters, coverage->counters.recorded_enters);
  EXPECT_EQ(coverage->counters.exits, coverage->counters.recorded_exits);
  return result;
}

void AttackTest::each_event(const std::function<void(const recorder::Event&)>& visit) {
  auto reader = recorder::TraceReader::open(trace_file());
  ASSERT_TRUE(reader) << reader.error().line();
  EXPECT_FALSE(reader->damage());
  const Status read = reader->for_each([&](const recorder::Event& event) {
    visit(event);
    return true;
  });
  EXPECT_TRUE(read) << read.error().line();
}

void AttackTest::each_call(std::string_view name,
                           const std::function<void(const recorder::Event&)>& visit) {
  each_event([&](const recorder::Event& event) {
    if (event.kind == recorder::EventKind::syscall &&
        recorder::syscall_name(event.abi, event.number) == name)
      visit(event);
  });
}

long AttackTest::count_calls(std::string_view name) {
  long count = 0;
  each_call(name, [&](const recorder::Event&) { ++count; });
  return count;
}

std::string captured(const recorder::Event& event, recorder::CaptureKind kind) {
  for (const recorder::Capture& capture : event.captures)
    if (capture.kind == kind) return std::string(capture.bytes);
  return {};
}

std::string used_object(const recorder::Event& event) {
  for (const recorder::Capture& capture : event.captures)
    if (capture.kind == recorder::CaptureKind::file_identity &&
        capture.argument == recorder::result_argument &&
        capture.bytes.size() > sizeof(recorder::FileIdentity))
      return std::string(capture.bytes.substr(sizeof(recorder::FileIdentity)));
  return {};
}

}  // namespace gyges::attacks
