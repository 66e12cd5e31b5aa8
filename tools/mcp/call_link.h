// What every transport needs of a Link: cancelling, and waiting for the client's answers to
// requests of ours.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/fd.h"
#include "tools/mcp/service.h"

namespace gyges::mcp {

// Requests from the server to one client that have not been answered. Thread-safe.
class OpenQuestions {
 public:
  struct Question {
    std::condition_variable changed;
    std::optional<Answer> answer;
  };
  // A new id as JSON text.
  std::string add(std::shared_ptr<Question> question);
  void answer(const std::string& id, Answer answer);
  // Waits at most until the deadline, or until `cancel_fd` polls readable; forgets the question.
  Answer wait(const std::string& id, Question& question,
              std::chrono::steady_clock::time_point until, int cancel_fd);

 private:
  std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::map<std::string, std::shared_ptr<Question>> open_;
};

class CallLink : public Link {
 public:
  static constexpr std::chrono::seconds longest_question{120};

  // `questions` is shared by all links of one client.
  explicit CallLink(std::shared_ptr<OpenQuestions> questions);

  void notify(std::string_view method, std::string_view params) override;
  Answer ask(std::string_view method, std::string_view params) override;
  [[nodiscard]] int cancel_fd() const override { return cancel_.get(); }

  // Thread-safe; any number of times.
  void cancel();
  [[nodiscard]] bool cancelled() const;

 protected:
  // Sends one message to the client, in order. Thread-safe; never blocks for long.
  virtual void send(std::string text) = 0;

 private:
  std::shared_ptr<OpenQuestions> questions_;
  UniqueFd cancel_;  // an eventfd; readable once cancelled
};

}  // namespace gyges::mcp
