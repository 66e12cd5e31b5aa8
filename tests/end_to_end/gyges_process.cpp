#include "gyges_process.h"
#include "base/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fd.h"

namespace gyges {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t output_kept = 96U << 20U;

[[noreturn]] void become_gyges(const std::vector<std::string>& arguments, RunAs as) {
  if (as.uid != 0 &&
      (::setgroups(0, nullptr) != 0 || ::setgid(as.gid) != 0 || ::setuid(as.uid) != 0))
    ::_exit(99);
  if (as.uid != 0) {
    // The test's own state directory is not this user's.
    const char* state = std::getenv("XDG_STATE_HOME");
    std::string own = std::string(state != nullptr ? state : "") + "/" + std::to_string(as.uid);
    ::setenv("XDG_STATE_HOME", own.c_str(), 1);
  }
  std::vector<char*> argv = {const_cast<char*>(GYGES_BINARY)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(98);
}

bool pump(UniqueFd& from, std::string& into) {
  std::vector<char> chunk(1U << 16U);
  ssize_t n = ::read(from.get(), chunk.data(), chunk.size());
  if (n <= 0) {
    from.reset();
    return false;
  }
  if (into.size() < output_kept) into.append(chunk.data(), static_cast<std::size_t>(n));
  return true;
}

}  // namespace

Finished gyges(const std::vector<std::string>& arguments, RunAs as) {
  Finished finished;
  auto output = make_pipe();
  auto error = make_pipe();
  if (!output || !error) return finished;
  auto begin = Clock::now();
  pid_t pid = ::fork();
  if (pid == 0) {
    int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, 0);
    ::dup2(output->write.get(), 1);
    ::dup2(error->write.get(), 2);
    become_gyges(arguments, as);
  }
  output->write.reset();
  error->write.reset();
  auto deadline = begin + std::chrono::seconds(240);
  while ((output->read || error->read) && Clock::now() < deadline) {
    pollfd wait[2] = {{output->read.get(), POLLIN, 0}, {error->read.get(), POLLIN, 0}};
    if (::poll(wait, 2, 1000) <= 0) continue;
    if (wait[0].revents != 0) pump(output->read, finished.output);
    if (wait[1].revents != 0) pump(error->read, finished.error);
  }
  bool late = Clock::now() >= deadline;
  if (late) ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  finished.time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  if (!late) finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return finished;
}

pid_t start_gyges(const std::vector<std::string>& arguments) {
  pid_t pid = ::fork();
  if (pid != 0) return pid;
  int null = ::open("/dev/null", O_RDWR);
  for (int fd : {0, 1, 2}) ::dup2(null, fd);
  become_gyges(arguments, {});
}

std::optional<RunAs> test_user() {
  const char* uid = std::getenv("GYGES_TEST_UID");
  const char* gid = std::getenv("GYGES_TEST_GID");
  if (uid == nullptr || gid == nullptr || ::geteuid() != 0) return std::nullopt;
  return RunAs{static_cast<unsigned>(std::atoi(uid)), static_cast<unsigned>(std::atoi(gid))};
}

int processes_with(const std::string& token) {
  int count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    auto arguments = read_file(entry.path() / "cmdline");
    if (arguments && arguments->find(token) != std::string::npos &&
        entry.path().filename() != std::to_string(::getpid()))
      ++count;
  }
  return count;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  auto deadline = Clock::now() + limit;
  while (!condition()) {
    if (Clock::now() >= deadline) return false;
    ::usleep(20000);
  }
  return true;
}

nlohmann::json read_json(const std::filesystem::path& path) {
  auto text = read_file(path);
  return text ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json();
}

void EndToEnd::SetUp() {
  auto directory = TemporaryDirectory::create("gyges-e2e");
  ASSERT_TRUE(directory) << directory.error().line();
  directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
  ::chmod(directory_->path().c_str(), 0755);
}

void EndToEnd::write_policy(const std::filesystem::path& path, const nlohmann::json& limits) const {
  nlohmann::json policy =
      read_json(std::filesystem::path(GYGES_SOURCE_DIR) / "policies/presets/default.json");
  policy["name"] = "test";
  policy["filesystem"]["workspace"] = "none";
  for (const auto& [key, value] : limits.items()) policy["limits"][key] = value;
  ASSERT_TRUE(write_file_atomically(path, policy.dump(2)));
}

}  // namespace gyges
