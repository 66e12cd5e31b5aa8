#include "sandbox_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"

namespace gyges::isolation {
namespace {

// With a status that begins so.
std::vector<pid_t> children_of(pid_t parent, const std::string& beginning) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    auto status = read_file(entry.path() / "status");
    if (status && status->starts_with(beginning) &&
        status->find("\nPPid:\t" + std::to_string(parent) + "\n") != std::string::npos)
      found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

}  // namespace

std::vector<pid_t> children_of(pid_t parent) {
  return children_of(parent, "");
}

std::vector<pid_t> children_named(const std::string& name, pid_t parent) {
  return children_of(parent, "Name:\t" + name + "\n");
}

Policy test_policy() {
  auto policy = load_policy("default");
  if (!policy) {
    ADD_FAILURE() << policy.error().line();
    return {};
  }
  policy->filesystem.workspace = Filesystem::Workspace::none;
  policy->limits.wall_seconds = 20;
  return *policy;
}

void SandboxTest::start(const SandboxSpec& spec) {
  policy_ = spec.policy;
  auto sandbox = Sandbox::start(spec);
  ASSERT_TRUE(sandbox) << sandbox.error().line();
  sandbox_ = std::move(*sandbox);
}

Ran SandboxTest::run(const std::string& shell_command) {
  return run_argv({"/bin/sh", "-c", shell_command});
}

Ran SandboxTest::run_argv(std::vector<std::string> argv) {
  Ran ran;
  if (!sandbox_) {
    ADD_FAILURE() << "no sandbox";
    return ran;
  }
  auto pipe = make_pipe();
  if (!pipe) {
    ADD_FAILURE() << pipe.error().line();
    return ran;
  }
  Command command;
  command.argv = std::move(argv);
  command.environment = command_environment(policy_);
  command.directory = "/";
  command.standard_output = pipe->write.get();
  command.standard_error = pipe->write.get();
  auto id = sandbox_->spawn(command);
  if (!id) {
    ADD_FAILURE() << id.error().line();
    return ran;
  }
  pipe->write.reset();
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  bool open = true;
  while (open && std::chrono::steady_clock::now() < deadline) {
    pollfd wait{pipe->read.get(), POLLIN, 0};
    if (::poll(&wait, 1, 200) <= 0) continue;
    char chunk[4096];
    ssize_t n = ::read(pipe->read.get(), chunk, sizeof(chunk));
    if (n > 0 && ran.output.size() < (1U << 20U)) ran.output.append(chunk, static_cast<size_t>(n));
    open = n > 0;
  }
  auto end = sandbox_->wait(*id, deadline);
  if (!end)
    ADD_FAILURE() << end.error().line();
  else if (!*end)
    ADD_FAILURE() << "the command did not end";
  else
    ran.end = **end;
  return ran;
}

SandboxEnd SandboxTest::stop(const std::string& contents) {
  if (!sandbox_) {
    ADD_FAILURE() << "no sandbox";
    return {};
  }
  auto end = sandbox_->stop(contents);
  EXPECT_TRUE(end) << end.error().line();
  sandbox_.reset();
  return end ? *end : SandboxEnd{};
}

}  // namespace gyges::isolation
