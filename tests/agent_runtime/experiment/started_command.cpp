#include "tests/agent_runtime/experiment/started_command.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/files.h"

namespace gyges::experiment {
namespace {

// Fields of /proc/PID/stat after the name: [0] state, [19] start time. Empty: there is no process.
std::vector<std::string> stat_fields(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
  std::vector<std::string> fields;
  std::size_t at = text.rfind(')');
  if (at == std::string::npos) return fields;
  std::string field;
  for (char c : text.substr(at + 2)) {
    if (c == ' ' || c == '\n') {
      fields.push_back(std::move(field));
      field.clear();
    } else {
      field += c;
    }
  }
  return fields;
}

void collect(pid_t pid, std::vector<ProcessId>& found) {
  std::error_code error;
  for (std::filesystem::directory_iterator task("/proc/" + std::to_string(pid) + "/task", error),
       end;
       !error && task != end; task.increment(error)) {
    std::ifstream children(task->path() / "children");
    for (pid_t child = 0; children >> child;) {
      auto fields = stat_fields(child);
      if (fields.size() > 19) found.push_back({child, fields[19]});
      collect(child, found);
    }
  }
}

bool runs(const ProcessId& process) {
  auto fields = stat_fields(process.pid);
  return fields.size() > 19 && fields[19] == process.started && fields[0] != "Z" &&
         fields[0] != "X";
}

}  // namespace

StartedCommand::StartedCommand(const std::vector<std::string>& argv, std::filesystem::path output,
                               unsigned uid)
    : output_(std::move(output)) {
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  int out = open(output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(out, 1);
  dup2(out, 2);
  setpgid(0, 0);
  // A shell that started the tests in the background has it ignored, which is inherited.
  ::signal(SIGINT, SIG_DFL);
  if (uid != 0 && (setgroups(0, nullptr) != 0 || setresgid(uid, uid, uid) != 0 ||
                   setresuid(uid, uid, uid) != 0))
    _exit(126);
  execv(pointers[0], pointers.data());
  _exit(127);
}

StartedCommand::~StartedCommand() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void StartedCommand::signal(int number) const {
  kill(pid_, number);
}

CommandEnd StartedCommand::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  std::ifstream file(output_);
  CommandEnd end;
  end.output.assign((std::istreambuf_iterator<char>(file)), {});
  if (WIFSIGNALED(status)) {
    end.signal = WTERMSIG(status);
  } else {
    end.exit_status = WEXITSTATUS(status);
  }
  return end;
}

std::vector<ProcessId> descendants(pid_t pid) {
  std::vector<ProcessId> found;
  collect(pid, found);
  return found;
}

std::vector<ProcessId> survivors(const std::vector<ProcessId>& processes,
                                 std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::vector<ProcessId> left = processes;
  while (true) {
    left.erase(std::remove_if(left.begin(), left.end(),
                              [](const ProcessId& process) { return !runs(process); }),
               left.end());
    if (left.empty() || std::chrono::steady_clock::now() >= end) return left;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace gyges::experiment
