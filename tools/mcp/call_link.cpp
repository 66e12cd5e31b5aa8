#include "tools/mcp/call_link.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace gyges::mcp {
namespace {

constexpr std::chrono::milliseconds look_at_cancelling{50};

bool readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

}  // namespace

std::string OpenQuestions::add(std::shared_ptr<Question> question) {
  std::scoped_lock lock(mutex_);
  std::string id = "\"gyges-" + std::to_string(++next_) + "\"";
  open_.emplace(id, std::move(question));
  return id;
}

void OpenQuestions::answer(const std::string& id, Answer answer) {
  std::scoped_lock lock(mutex_);
  auto found = open_.find(id);
  if (found == open_.end()) return;  // late, or never asked
  found->second->answer = std::move(answer);
  found->second->changed.notify_all();
}

Answer OpenQuestions::wait(const std::string& id, Question& question,
                           std::chrono::steady_clock::time_point until, int cancel_fd) {
  std::unique_lock lock(mutex_);
  while (!question.answer && std::chrono::steady_clock::now() < until && !readable(cancel_fd))
    question.changed.wait_for(lock, look_at_cancelling);
  open_.erase(id);
  if (question.answer) return std::move(*question.answer);
  return fault_answer(Code::internal_error, "The client did not answer.");
}

CallLink::CallLink(std::shared_ptr<OpenQuestions> questions)
    : questions_(std::move(questions)), cancel_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void CallLink::notify(std::string_view method, std::string_view params) {
  if (!cancelled()) send(notification_text(method, params));
}

Answer CallLink::ask(std::string_view method, std::string_view params) {
  auto question = std::make_shared<OpenQuestions::Question>();
  std::string id = questions_->add(question);
  send(request_text(id, method, params));
  return questions_->wait(id, *question, std::chrono::steady_clock::now() + longest_question,
                          cancel_.get());
}

void CallLink::cancel() {
  std::uint64_t one = 1;
  // Full only after 2^64 - 2 cancellations; it is readable then too.
  [[maybe_unused]] ssize_t written = ::write(cancel_.get(), &one, sizeof one);
}

bool CallLink::cancelled() const {
  return !cancel_ || readable(cancel_.get());
}

}  // namespace gyges::mcp
