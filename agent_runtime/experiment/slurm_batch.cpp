#include "agent_runtime/experiment/slurm_batch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <set>

#include "agent_runtime/experiment/durable.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_answer_bytes = 256U << 20U;
constexpr std::size_t kept_log_bytes = 4096;

fs::path assignments_file(const fs::path& batch, std::size_t task) {
  return batch / "tasks" / std::to_string(task);
}
fs::path answers_file(const fs::path& batch, std::size_t task) {
  return batch / "answers" / std::to_string(task);
}

// For a shell: everything between single quotes stands for itself.
std::string shell_word(const std::string& word) {
  std::string quoted = "'";
  for (char c : word) {
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  }
  return quoted + "'";
}

Status make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return fail_errno("create", path.string(), error.value());
  return ok();
}

// The file from `offset` on, as far as it has whole lines.
Result<std::string> whole_lines(const fs::path& file, std::uint64_t offset) {
  UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::string();
  if (!fd) return fail_errno("open", file.string());
  std::string text;
  char bytes[65536];
  while (text.size() < most_answer_bytes) {
    ssize_t got = pread(fd.get(), bytes, sizeof bytes, static_cast<off_t>(offset + text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read", file.string());
    if (got == 0) break;
    text.append(bytes, static_cast<std::size_t>(got));
  }
  std::size_t end = text.rfind('\n');
  text.resize(end == std::string::npos ? 0 : end + 1);
  return text;
}

Result<UniqueFd> open_answers(const fs::path& batch, std::size_t number) {
  const fs::path file = answers_file(batch, number);
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("open", file.string());
  // A line that a killed task left without its end gets one; the runner reads past what is no
  // message only if it is whole, so the half is cut off.
  off_t size = lseek(fd.get(), 0, SEEK_END);
  char last = '\n';
  off_t whole = size;
  while (whole > 0 && pread(fd.get(), &last, 1, whole - 1) == 1 && last != '\n') --whole;
  if (whole != size && ftruncate(fd.get(), whole) != 0) return fail_errno("shorten", file.string());
  return fd;
}

// Slots that have an answer.
Result<std::set<std::string>> answered(const fs::path& batch, std::size_t number) {
  GYGES_TRY(std::string text, whole_lines(answers_file(batch, number), 0));
  std::set<std::string> slots;
  for (const std::string& line : split(text, '\n')) {
    if (line.empty()) continue;
    GYGES_TRY(WorkerMessage message, decode_worker_message(line));
    if (const auto* done = std::get_if<RunDone>(&message)) slots.insert(done->slot);
    if (const auto* failed = std::get_if<RunFailed>(&message)) slots.insert(failed->slot);
  }
  return slots;
}

Result<UniqueFd> as_stream(const std::string& text) {
  UniqueFd fd(memfd_create("assignments", MFD_CLOEXEC));
  if (!fd) return fail_errno("create", "a memory file");
  GYGES_CHECK(write_all(fd.get(), text));
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("rewind", "a memory file");
  return fd;
}

}  // namespace

Result<SlurmBatch> SlurmBatch::create(const fs::path& directory,
                                      const std::vector<std::vector<Assignment>>& tasks,
                                      const std::vector<std::string>& command) {
  GYGES_CHECK(make_directory(directory / "slurm"));
  std::error_code error;
  fs::path path;
  for (std::size_t number = 1; path.empty(); ++number) {
    fs::path next = directory / "slurm" / std::to_string(number);
    if (fs::create_directory(next, error)) path = next;
    if (error) return fail_errno("create", next.string(), error.value());
  }
  SlurmBatch batch(std::move(path));
  for (const char* name : {"tasks", "answers", "log"})
    GYGES_CHECK(make_directory(batch.path_ / name));
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    std::string lines;
    for (const Assignment& assignment : tasks[i]) lines += encode(assignment);
    UniqueFd fd(open(assignments_file(batch.path_, i).c_str(),
                     O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!fd) return fail_errno("create", assignments_file(batch.path_, i).string());
    GYGES_CHECK(write_all(fd.get(), lines));
  }
  std::string script = "#!/bin/sh\nexec";
  for (const std::string& word : command) script += " " + shell_word(word);
  script += " --slurm-batch " + shell_word(batch.path_.string()) +
            " --slurm-task \"$SLURM_ARRAY_TASK_ID\"\n";
  GYGES_CHECK(write_file_atomically(batch.script(), script, 0755));
  return batch;
}

Result<std::vector<WorkerMessage>> SlurmBatch::answers(std::size_t task,
                                                       std::uint64_t& offset) const {
  GYGES_TRY(std::string text, whole_lines(answers_file(path_, task), offset));
  std::vector<WorkerMessage> messages;
  for (const std::string& line : split(text, '\n')) {
    if (line.empty()) continue;
    GYGES_TRY(WorkerMessage message, decode_worker_message(line));
    messages.push_back(std::move(message));
  }
  offset += text.size();
  return messages;
}

std::string SlurmBatch::last_words(std::size_t task) const {
  auto text = read_file(logs() / (std::to_string(task) + ".log"));
  if (!text) return {};
  std::string end =
      text->size() > kept_log_bytes ? text->substr(text->size() - kept_log_bytes) : *text;
  while (!end.empty() && (end.back() == '\n' || end.back() == ' ')) end.pop_back();
  return printable(end);
}

void SlurmBatch::remove() const {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Result<std::vector<std::string>> slurm_jobs_of(const fs::path& directory) {
  const fs::path file = directory / "slurm" / "jobs";
  std::error_code error;
  std::vector<std::string> jobs;
  if (!fs::exists(file, error)) return jobs;
  GYGES_TRY(std::string text, read_file(file));
  for (std::string& job : split(text, '\n')) {
    if (job.empty()) continue;
    if (job.find_first_not_of("0123456789") != std::string::npos)
      return fail("read", file.string(), quoted(job.substr(0, 100)) + " is no job id",
                  "cancel jobs of this experiment by hand and remove the file");
    jobs.push_back(std::move(job));
  }
  return jobs;
}

Status note_slurm_job(const fs::path& directory, const std::string& job) {
  const fs::path file = directory / "slurm" / "jobs";
  UniqueFd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("open", file.string());
  GYGES_CHECK(write_all(fd.get(), job + "\n"));
  if (fsync(fd.get()) != 0) return fail_errno("sync", file.string());
  return ok();
}

Status forget_slurm_jobs(const fs::path& directory) {
  std::error_code error;
  fs::remove(directory / "slurm" / "jobs", error);
  if (error) return fail_errno("remove", (directory / "slurm" / "jobs").string(), error.value());
  fs::remove(directory / "slurm", error);  // where nothing else is left in it
  return ok();
}

Status serve_slurm_task(const fs::path& batch, std::size_t number, const std::string& backend,
                        const EpisodePreparer& prepare) {
  GYGES_TRY(UniqueFd answers, open_answers(batch, number));
  GYGES_TRY(std::set<std::string> known, answered(batch, number));
  GYGES_TRY(std::string text, read_file(assignments_file(batch, number)));
  for (const std::string& line : split(text, '\n')) {
    if (line.empty()) continue;
    GYGES_TRY(Assignment assignment, decode_assignment(line));
    if (known.contains(assignment.slot)) continue;
    std::error_code error;
    fs::remove_all(assignment.request.out, error);
    if (error) return fail_errno("remove", assignment.request.out.string(), error.value());
    // One at a time: a worker prepares whatever it has been given.
    GYGES_TRY(UniqueFd input, as_stream(line + "\n"));
    GYGES_CHECK(serve_assignments(input.get(), answers.get(), backend, prepare));
  }
  return ok();
}

Status refuse_slurm_task(const fs::path& batch, std::size_t number, const Error& error) {
  GYGES_TRY(UniqueFd answers, open_answers(batch, number));
  return write_all(answers.get(), encode(WorkerRefused{error}));
}

}  // namespace gyges::experiment
