#include "agent_runtime/experiment/command_output.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/fd.h"

namespace gyges::experiment {
namespace {

constexpr std::size_t most_output = 16U << 20U;

class SpawnedCommand {
 public:
  Status start(const std::vector<std::string>& argv, int out, int errors) {
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, errors, 2);
    int error = posix_spawnp(&pid_, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      pid_ = -1;
      return fail_errno("start", argv[0], error);
    }
    return ok();
  }
  ~SpawnedCommand() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_ = -1;
};

}  // namespace

Result<CommandOutput> run_command(const std::vector<std::string>& argv,
                                  std::chrono::milliseconds limit) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + limit;
  GYGES_TRY(Pipe out, make_pipe());
  GYGES_TRY(Pipe errors, make_pipe());
  SpawnedCommand command;
  GYGES_CHECK(command.start(argv, out.write.get(), errors.write.get()));
  out.write.reset();
  errors.write.reset();
  CommandOutput result;
  pollfd polled[2] = {{out.read.get(), POLLIN, 0}, {errors.read.get(), POLLIN, 0}};
  std::string* texts[2] = {&result.out, &result.errors};
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return fail("run", argv[0], "it took too long and was ended");
    int ready = poll(polled, 2, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return fail_errno("poll", argv[0]);
    if (ready <= 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (polled[i].revents == 0) continue;
      char bytes[65536];
      ssize_t got = read(polled[i].fd, bytes, sizeof bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        polled[i].fd = -1;
      else if (texts[i]->size() + static_cast<std::size_t>(got) > most_output)
        return fail("run", argv[0], "it printed more than 16 MiB");
      else
        texts[i]->append(bytes, static_cast<std::size_t>(got));
    }
  }
  result.status = command.wait();
  return result;
}

}  // namespace gyges::experiment
