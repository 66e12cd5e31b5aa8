#include "tools/mcp/pipe_peer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/json.h"
#include "base/text.h"
#include "tools/mcp/message.h"
#include "tools/pipe_ends.h"

namespace gyges::mcp {
namespace {

constexpr std::size_t max_error_bytes = 4096;
constexpr std::size_t max_last_words = 500;

tl::unexpected<Error> broken(std::string_view why) {
  return fail("talk to MCP server", "", why, "see what the server writes and why it ends");
}

}  // namespace

Result<std::unique_ptr<PipePeer>> PipePeer::create(UniqueFd to, UniqueFd from, UniqueFd errors,
                                                   Limits limits) {
  GYGES_CHECK(tools::make_nonblocking(to.get()));
  GYGES_CHECK(tools::make_nonblocking(errors.get()));
  return std::unique_ptr<PipePeer>(
      new PipePeer(std::move(to), std::move(from), std::move(errors), limits));
}

std::string PipePeer::last_request() const {
  return R"({"requestId":)" + std::to_string(requests_) + "}";
}

std::string PipePeer::last_words() {
  // What it wrote before its end may not have been read yet; a bounded part of it.
  for (int i = 0; i < 16 && errors_; ++i) read_errors();
  return words_;
}

void PipePeer::read_errors() {
  std::array<char, 8192> chunk;
  ssize_t n = ::read(errors_.get(), chunk.data(), chunk.size());
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) errors_.reset();
  if (n <= 0) return;
  words_.append(chunk.data(), static_cast<std::size_t>(n));
  if (words_.size() > max_last_words) words_.erase(0, words_.size() - max_last_words);
}

// One round of reading and writing.
Status PipePeer::exchange(Clock::time_point deadline, int cancel_fd) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  auto given_up = [](std::string_view why) {
    auto error = fail("talk to MCP server", "", why, "");
    error.value().code = ECANCELED;
    return error;
  };
  if (left.count() <= 0) return given_up("it did not answer in time");
  std::array<pollfd, 4> fds{pollfd{from_.get(), POLLIN, 0},
                            pollfd{unsent_.empty() ? -1 : to_.get(), POLLOUT, 0},
                            pollfd{cancel_fd, POLLIN, 0}, pollfd{errors_.get(), POLLIN, 0}};
  int wait = static_cast<int>(std::min<std::int64_t>(left.count() + 1, 60'000));
  if (::poll(fds.data(), fds.size(), wait) <= 0) return ok();
  if (fds[2].revents != 0) return given_up("the call was cancelled");
  if (fds[3].revents != 0) read_errors();
  if (fds[1].revents != 0) {
    ssize_t n = ::write(to_.get(), unsent_.data(), unsent_.size());
    if (n > 0) unsent_.erase(0, static_cast<std::size_t>(n));
    if (n < 0 && errno != EAGAIN && errno != EINTR) return broken("it takes no more messages");
  }
  if (fds[0].revents != 0) {
    std::array<char, 65536> chunk;
    ssize_t n = ::read(from_.get(), chunk.data(), chunk.size());
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return broken("it has ended");
    if (n > 0) {
      unread_.append(chunk.data(), static_cast<std::size_t>(n));
      answer_bytes_ += static_cast<std::size_t>(n);
    }
  }
  if (answer_bytes_ > limits_.answer_bytes) return broken("it sends without end");
  return ok();
}

// Whether a line was there; `reply` is filled where it was the answer.
Result<bool> PipePeer::take_line(const std::string& id, Reply& reply) {
  std::size_t end = unread_.find('\n', searched_);
  if (end == std::string::npos) {
    searched_ = unread_.size();
    if (unread_.size() > limits_.message_bytes) return broken("a line of it is too long");
    return false;
  }
  std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  searched_ = 0;
  if (++messages_ > limits_.messages) return broken("it sends messages without end");
  Bounds bounds;
  bounds.message_bytes = limits_.message_bytes;
  auto message = read_message(line, bounds);
  if (!message) return true;  // what is no message is left out, as a log line would be
  if (message->kind == Message::Kind::request) {
    bool ping = message->method == "ping";
    std::string answer =
        ping ? result_text(message->id, "{}")
             : error_text(message->id,
                          {Code::method_not_found, "This client answers nothing else.", {}});
    // A server that asks and does not read fills no memory.
    if (unsent_.size() < limits_.message_bytes) unsent_ += answer + "\n";
  }
  if (message->kind != Message::Kind::response || message->id != id) return true;
  reply.result = message->result;
  reply.error = valid_utf8(message->error.substr(0, max_error_bytes));
  if (!reply.result && reply.error.empty()) reply.error = "unknown error";
  return true;
}

Result<PipePeer::Reply> PipePeer::request(std::string_view method, std::string_view params,
                                          Clock::time_point deadline, int cancel_fd) {
  tools::SigpipeBlock no_sigpipe;
  std::string id = std::to_string(++requests_);
  unsent_ += request_text(id, method, params) + "\n";
  answer_bytes_ = unread_.size();
  messages_ = 0;
  Reply reply;
  for (;;) {
    GYGES_TRY(bool taken, take_line(id, reply));
    if (reply.result || !reply.error.empty()) return reply;
    if (!taken) GYGES_CHECK(exchange(deadline, cancel_fd));
  }
}

Status PipePeer::notify(std::string_view method, std::string_view params) {
  if (unsent_.size() > limits_.message_bytes) return broken("it takes no more messages");
  unsent_ += notification_text(method, params) + "\n";
  tools::SigpipeBlock no_sigpipe;
  std::string_view unwritten = unsent_;
  tools::write_some(to_, unwritten);
  unsent_.erase(0, unsent_.size() - unwritten.size());
  return ok();
}

}  // namespace gyges::mcp
