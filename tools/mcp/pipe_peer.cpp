#include "tools/mcp/pipe_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/json.h"
#include "base/text.h"
#include "tools/mcp/message.h"

namespace gyges::mcp {
namespace {

constexpr std::size_t max_error_bytes = 4096;

tl::unexpected<Error> broken(std::string_view why) {
  return fail("talk to MCP server", "", why, "see what the server writes and why it ends");
}

}  // namespace

Result<std::unique_ptr<PipePeer>> PipePeer::create(UniqueFd to, UniqueFd from, Limits limits) {
  int flags = ::fcntl(to.get(), F_GETFL);
  if (flags < 0 || ::fcntl(to.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("set pipe non-blocking", "");
  return std::unique_ptr<PipePeer>(new PipePeer(std::move(to), std::move(from), limits));
}

// One round of reading and writing.
Status PipePeer::exchange(Clock::time_point deadline, int cancel_fd) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  if (left.count() <= 0) return fail("talk to MCP server", "", "it did not answer in time", "");
  std::array<pollfd, 3> fds{pollfd{from_.get(), POLLIN, 0},
                            pollfd{unsent_.empty() ? -1 : to_.get(), POLLOUT, 0},
                            pollfd{cancel_fd, POLLIN, 0}};
  int wait = static_cast<int>(std::min<std::int64_t>(left.count() + 1, 60'000));
  if (::poll(fds.data(), fds.size(), wait) <= 0) return ok();
  if (fds[2].revents != 0) return fail("talk to MCP server", "", "the call was cancelled", "");
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
  // A write to a program that is gone shall fail, and not raise a signal here.
  sigset_t pipe;
  sigset_t before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before);
  std::string id = std::to_string(++requests_);
  unsent_ += request_text(id, method, params) + "\n";
  answer_bytes_ = unread_.size();
  messages_ = 0;
  auto run = [&]() -> Result<Reply> {
    Reply reply;
    for (;;) {
      GYGES_TRY(bool taken, take_line(id, reply));
      if (reply.result || !reply.error.empty()) return reply;
      if (!taken) GYGES_CHECK(exchange(deadline, cancel_fd));
    }
  };
  Result<Reply> reply = run();
  timespec none{};
  if (sigismember(&before, SIGPIPE) == 0)
    while (::sigtimedwait(&pipe, nullptr, &none) < 0 && errno == EINTR) {
    }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return reply;
}

Status PipePeer::notify(std::string_view method, std::string_view params) {
  if (unsent_.size() > limits_.message_bytes) return broken("it takes no more messages");
  unsent_ += notification_text(method, params) + "\n";
  return ok();
}

}  // namespace gyges::mcp
