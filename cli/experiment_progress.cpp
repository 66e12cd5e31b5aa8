#include "cli/experiment_progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "base/text.h"

namespace gyges::cli {
namespace {

constexpr std::chrono::milliseconds redraw_interval{100};
constexpr std::size_t max_shown_conditions = 6;
constexpr std::size_t max_failure_lines = 20;

std::size_t error_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string minutes_and_seconds(double seconds) {
  auto whole = static_cast<long>(std::ceil(seconds));
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

std::string progress_line(const experiment::Progress& progress, std::size_t width) {
  std::string conditions;
  for (const auto& condition : progress.conditions)
    conditions +=
        fmt::format("{} {}/{}, ", condition.condition, condition.finished, condition.planned);
  std::string line = fmt::format("{} running", progress.running);
  if (progress.queued > 0) line += fmt::format(", {} queued", progress.queued);
  if (progress.failed > 0) line += fmt::format(", {} failed", progress.failed);
  if (progress.ended_in_error > 0)
    line += fmt::format(", {} ended in error", progress.ended_in_error);
  const double seconds = std::chrono::duration<double>(progress.elapsed).count();
  const std::size_t now = progress.finished - progress.finished_before;
  if (now > 0 && seconds > 0) {
    const double rate = static_cast<double>(now) / seconds;
    const std::size_t left = progress.planned - progress.finished - progress.failed;
    line += fmt::format(", {:.1f}/s, {} left", rate,
                        minutes_and_seconds(static_cast<double>(left) / rate));
  }
  // What is left and what failed matters more than which condition is how far.
  if (progress.conditions.size() > max_shown_conditions || conditions.size() + line.size() > width)
    conditions = fmt::format("{}/{} runs, ", progress.finished, progress.planned);
  return (conditions + line).substr(0, width);
}

ExperimentProgress::ExperimentProgress() : terminal_(isatty(STDERR_FILENO) == 1) {}

void ExperimentProgress::clear_line() {
  if (line_open_) std::fputs("\r\x1b[K", stderr);
  line_open_ = false;
}

void ExperimentProgress::draw(const std::string& line) {
  clear_line();
  std::fputs(printable(line).c_str(), stderr);
  std::fflush(stderr);
  line_open_ = true;
}

void ExperimentProgress::show_audit(std::size_t done, std::size_t of) {
  if (terminal_) draw(fmt::format("auditing the conditions: scenario {} of {}", done + 1, of));
}

void ExperimentProgress::say(const std::string& text) {
  clear_line();
  std::fprintf(stderr, "%s\n", printable(text).c_str());
}

void ExperimentProgress::show(const experiment::Progress& progress) {
  const std::size_t failures = progress.retried + progress.failed + progress.ended_in_error;
  if (failures != failures_) {
    failures_ = failures;
    if (failures <= max_failure_lines) say("failed attempt: " + progress.last_failure);
    if (failures == max_failure_lines + 1) say("further failed attempts are not shown");
  }
  if (terminal_) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_drawn_ < redraw_interval && progress.finished < progress.planned) return;
    last_drawn_ = now;
    draw(progress_line(progress, error_width() - 1));
    return;
  }
  const std::size_t tenth = progress.planned == 0 ? 10 : 10 * progress.finished / progress.planned;
  if (tenth == last_tenth_) return;
  last_tenth_ = tenth;
  std::fprintf(stderr, "%s\n", printable(progress_line(progress, 1000)).c_str());
}

void ExperimentProgress::finish() {
  if (line_open_) std::fputc('\n', stderr);
  line_open_ = false;
}

}  // namespace gyges::cli
