// The attack program: tries everything in its tables and prints one line for each attempt,
//   ITEM NAME OUTCOME
// where OUTCOME is "worked", the name of an errno, "killed:<signal>" or a word of the attempt's
// own.
//
//   attack SCRATCH MARKER [NAME]
//
// No attempt goes further than the point at which it has certainly worked, and none changes
// anything that outlives its namespaces: files are opened for writing and not written, calls that
// concern the machine are given arguments that fail after the check of privilege. All the same it
// refuses to run anywhere but in namespaces made for it.
#include "attack.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace gyges::attack {

std::string scratch;
std::string marker;

std::string name_of(int code) {
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? name : std::to_string(code);
}

namespace {

// PROC_PID_INIT_INO of the kernel: the initial pid namespace has had this number since 3.8.
constexpr ino_t initial_pid_namespace = 4026531836;

// In namespaces made for the attack, pid 1 is ours and says so.
bool in_a_throw_away_namespace() {
  struct stat info {};
  if (::stat("/proc/self/ns/pid", &info) != 0 || info.st_ino == initial_pid_namespace) return false;
  std::ifstream file("/proc/1/comm");
  std::string name;
  std::getline(file, name);
  return name == "init" || name == "control";
}

void run(const Row& row) {
  int channel[2];
  if (::pipe(channel) != 0) return;
  pid_t pid = ::fork();
  if (pid == 0) {
    ::close(channel[0]);
    ::alarm(10);
    std::string result = row.attempt();
    ssize_t ignored = ::write(channel[1], result.data(), result.size());
    (void)ignored;
    ::_exit(0);
  }
  ::close(channel[1]);
  std::string result;
  char chunk[256];
  ssize_t n = 0;
  while ((n = ::read(channel[0], chunk, sizeof(chunk))) > 0)
    result.append(chunk, static_cast<std::size_t>(n));
  ::close(channel[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) result = std::string("killed:") + ::sigabbrev_np(WTERMSIG(status));
  std::printf("%s %s %s\n", row.item, row.name, result.c_str());
  std::fflush(stdout);
}

}  // namespace
}  // namespace gyges::attack

int main(int argc, char** argv) {
  using namespace gyges::attack;
  if (!in_a_throw_away_namespace()) {
    std::fprintf(stderr, "attack: this program only runs in namespaces made for it\n");
    return 3;
  }
  if (argc < 3) return 2;
  scratch = argv[1];
  marker = argv[2];
  for (const auto& table : {kernel_attempts(), process_attempts(), file_attempts(),
                            surface_attempts(), privilege_attempts()})
    for (const Row& row : table)
      if (argc < 4 || std::strcmp(argv[3], row.name) == 0) run(row);
  return 0;
}
