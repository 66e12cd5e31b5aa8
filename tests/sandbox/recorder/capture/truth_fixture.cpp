#include "truth_fixture.h"

#include <fcntl.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

const std::set<std::string, std::less<>> creating = {"clone", "clone3", "fork", "vfork"};

bool left_out(std::string_view name) {
  return name == "futex" || name == "restart_syscall" || name == "getrandom";
}

void place(const StraceThreads& threads, int tid, const std::string& label, bool handlers,
           PlacedCalls& placed) {
  const auto found = threads.find(tid);
  if (found == threads.end()) return;
  std::vector<StraceCall>& calls = placed[label];
  int children = 0;
  for (const StraceCall& call : found->second) {
    if (left_out(call.name)) continue;
    if (!handlers &&
        (call.name == "rt_sigreturn" || call.result == "-512" || call.result == "-513"))
      continue;
    calls.push_back(call);
    const int created = creating.contains(call.name) ? std::atoi(call.result.c_str()) : 0;
    if (created > 0)
      place(threads, created, label + "." + std::to_string(children++), handlers, placed);
  }
  if (calls.empty()) return;
  const std::string& last = found->second.back().result;
  if (last == "-512" || last == "-514" || last == "-516") {
    calls.back().name = found->second.back().name;
    calls.back().result = "?";
  }
}

// "name(arguments) = result" as it is shown to people.
std::string arguments_of(const KeptEvent& kept, const std::string& name) {
  std::string text = text_of(kept);
  text.resize(text.rfind(" = "));
  if (text.ends_with(" [i386]")) text.resize(text.size() - 7);
  return text.substr(name.size() + 1, text.size() - name.size() - 2);
}

StraceThreads threads_of(const Recording& recording, bool with_text) {
  StraceThreads threads;
  bool begun = false;
  for (const KeptEvent& kept : recording.events) {
    const Event& event = kept.event;
    if (event.kind != EventKind::syscall) continue;
    std::string name = syscall_name(event.abi, event.number);
    if (!begun && name != "execve") continue;
    begun = true;
    std::string arguments = with_text ? arguments_of(kept, name) : "";
    // strace has another name for what neither knows.
    if (find_syscall(event.abi, event.number) == nullptr) name = "syscall_0x3e7";
    threads[event.tid].push_back(
        {name, event.has_exit ? std::to_string(event.result) : "?", arguments});
  }
  return threads;
}

}  // namespace

void TruthFixture::SetUp() {
  if (access("/usr/bin/strace", X_OK) != 0) GTEST_SKIP() << "strace is not installed";
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  auto directory = TemporaryDirectory::create("gyges_truth_");
  ASSERT_TRUE(directory) << directory.error().line();
  directory_ = std::move(*directory);
}

std::function<int()> TruthFixture::prepared(const std::vector<std::string>& argv) {
  return [this, argv] {
    if (chdir(directory_->path().c_str()) != 0) return 98;
    personality(ADDR_NO_RANDOMIZE);
    const int null = open("/dev/null", O_RDWR);
    for (int descriptor = 0; descriptor < 3; ++descriptor) dup2(null, descriptor);
    close(null);
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    setenv("HOME", directory_->path().c_str(), 1);
    setenv("LC_ALL", "C", 1);
    setenv("GIT_OPTIONAL_LOCKS", "0", 1);
    setenv("PYTHONHASHSEED", "0", 1);
    for (int descriptor = 3; descriptor < 64; ++descriptor) close(descriptor);
    return program(argv)();
  };
}

int TruthFixture::run(const std::vector<std::string>& argv) {
  const pid_t child = fork();
  if (child == 0) _exit(prepared(argv)());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

PlacedCalls TruthFixture::calls_by_strace(const std::vector<std::string>& argv,
                                          const std::vector<std::string>& options) {
  const std::string output = directory_->path().string() + ".strace";
  std::vector<std::string> command = {"/usr/bin/strace", "-f", "-o", output};
  command.insert(command.end(), options.begin(), options.end());
  command.insert(command.end(), argv.begin(), argv.end());
  run(command);
  const Result<std::string> text = read_file(output);
  std::filesystem::remove(output);
  EXPECT_TRUE(text);
  PlacedCalls placed;
  if (!text) return placed;
  int root = 0;
  const StraceThreads threads = parse_strace(*text, root);
  place(threads, root, "0", handlers_, placed);
  return placed;
}

PlacedCalls TruthFixture::calls_by_backend(CaptureBackend& backend,
                                           const std::vector<std::string>& argv) {
  const Recording recording = record(backend, prepared(argv));
  EXPECT_TRUE(recording.coverage.complete);
  PlacedCalls placed;
  place(threads_of(recording, with_text_), recording.pid, "0", handlers_, placed);
  return placed;
}

}  // namespace gyges::recorder
