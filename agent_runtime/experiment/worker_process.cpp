#include "agent_runtime/experiment/worker_process.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/process/args.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/posix.hpp>
#include <cstring>
#include <thread>

#include "base/text.h"

namespace gyges::experiment {
namespace {

namespace process = boost::process;

constexpr std::size_t kept_error_bytes = 4096;

// Above the numbers that the child rearranges: dup2 of a descriptor to itself would leave it
// close-on-exec.
Result<UniqueFd> high_copy(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 10));
  if (!copy) return fail_errno("duplicate", "a descriptor");
  return copy;
}

Status make_nonblocking(int fd) {
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
    return fail_errno("set flags of", "a stream");
  return ok();
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(const std::vector<std::string>& argv,
                                                            int lock_fd) {
  GYGES_TRY(Pipe messages, make_socket_pair(SOCK_STREAM));
  GYGES_TRY(Pipe errors, make_pipe());
  GYGES_TRY(UniqueFd inner, high_copy(messages.write.get()));
  GYGES_TRY(UniqueFd inner_errors, high_copy(errors.write.get()));
  UniqueFd lock;
  if (lock_fd >= 0) {
    GYGES_TRY(lock, high_copy(lock_fd));
  }
  auto worker = std::make_unique<WorkerProcess>();
  worker->stream = std::move(messages.read);
  worker->errors = std::move(errors.read);
  GYGES_CHECK(make_nonblocking(worker->errors.get()));
  std::vector<std::string> arguments(argv.begin() + 1, argv.end());
  std::error_code error;
  constexpr auto& fd = process::posix::fd;
  if (lock) {
    worker->child = process::child(process::exe = argv.front(), process::args = arguments,
                                   fd.bind(0, inner.get()), fd.bind(1, inner.get()),
                                   fd.bind(2, inner_errors.get()), fd.bind(3, lock.get()), error);
  } else {
    worker->child = process::child(process::exe = argv.front(), process::args = arguments,
                                   fd.bind(0, inner.get()), fd.bind(1, inner.get()),
                                   fd.bind(2, inner_errors.get()), error);
  }
  if (error) return fail("start worker", argv.front(), error.message());
  return worker;
}

Result<bool> WorkerProcess::send(const Assignment& assignment) {
  std::string line = encode(assignment);
  if (line.size() > max_message_bytes)
    return fail("assign run", assignment.slot, "the request is longer than 1 MiB");
  std::string_view rest = line;
  while (!rest.empty()) {
    ssize_t sent = ::send(stream.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void WorkerProcess::drain_errors() {
  char bytes[4096];
  // Bounded, so that a worker that writes without end cannot hold the runner here.
  for (int reads = 0; reads < 64 && errors; ++reads) {
    ssize_t got = read(errors.get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      errors.reset();
      return;
    }
    last_errors.append(bytes, static_cast<std::size_t>(got));
    if (last_errors.size() > kept_error_bytes)
      last_errors.erase(0, last_errors.size() - kept_error_bytes);
  }
}

bool WorkerProcess::ends_before(std::chrono::steady_clock::time_point time) const {
  while (true) {
    siginfo_t info{};
    // An error means that there is nothing to wait for.
    if (waitid(P_PID, static_cast<id_t>(child.id()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid != 0)
      return true;
    if (std::chrono::steady_clock::now() >= time) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::string WorkerProcess::reap() {
  std::error_code error;
  child.wait(error);
  drain_errors();
  int status = child.native_exit_code();
  std::string text = "the worker ";
  if (error) {
    text += "is gone (" + error.message() + ")";
  } else if (WIFSIGNALED(status)) {
    text += std::string("was killed by signal ") + std::to_string(WTERMSIG(status)) + " (" +
            strsignal(WTERMSIG(status)) + ")";
  } else {
    text += "exited with status " + std::to_string(WEXITSTATUS(status));
  }
  if (!last_errors.empty()) text += "; its last words: " + printable(last_errors);
  return text;
}

}  // namespace gyges::experiment
