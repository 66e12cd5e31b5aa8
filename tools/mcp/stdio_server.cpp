#include "tools/mcp/stdio_server.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>

#include "tools/mcp/call_link.h"
#include "tools/mcp/line_output.h"
#include "tools/mcp/protocol.h"
#include "tools/mcp/session_calls.h"

namespace gyges::mcp {
namespace {

constexpr int patience_ms = 5000;      // with a client that takes nothing more at the end
constexpr int look_at_calls_ms = 100;  // while the last calls run after the end of input
constexpr std::size_t read_bytes = 65536;

class StdioLink final : public CallLink {
 public:
  StdioLink(std::shared_ptr<OpenQuestions> questions, LineOutput& output)
      : CallLink(std::move(questions)), output_(output) {}

 protected:
  void send(std::string text) override { output_.send(std::move(text)); }

 private:
  LineOutput& output_;
};

// The calls that wait or run, by the JSON text of their id. Thread-safe.
class RunningCalls {
 public:
  // False: a call with this id runs already.
  bool add(const std::string& id, std::shared_ptr<CallLink> link) {
    std::scoped_lock lock(mutex_);
    return links_.emplace(id, std::move(link)).second;
  }
  void remove(const std::string& id) {
    std::scoped_lock lock(mutex_);
    links_.erase(id);
  }
  void cancel(const std::string& id) {
    std::scoped_lock lock(mutex_);
    if (auto found = links_.find(id); found != links_.end()) {
      found->second->cancel();
      links_.erase(found);
    }
  }
  void cancel_all() {
    std::scoped_lock lock(mutex_);
    for (auto& [id, link] : links_) link->cancel();
    links_.clear();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<CallLink>> links_;
};

class StdioServer {
 public:
  StdioServer(Service& service, const StdioStreams& streams, const StdioLimits& limits)
      : service_(service),
        streams_(streams),
        limits_(limits),
        protocol_(service),
        output_(streams.output, limits.unsent_bytes) {
    bounds_.message_bytes = limits.line_bytes;
  }

  Status serve() {
    Status read = read_all_lines();
    if (!stopped_) finish_calls();
    calls_.cancel_all();
    session_.reset();  // seals
    output_.flush(patience_ms);
    return read;
  }

 private:
  Status read_all_lines() {
    std::string chunk(read_bytes, '\0');
    for (;;) {
      std::array<pollfd, 3> fds{pollfd{streams_.input, POLLIN, 0}, pollfd{streams_.stop, POLLIN, 0},
                                pollfd{output_.broken_fd(), POLLIN, 0}};
      if (::poll(fds.data(), fds.size(), -1) < 0) {
        if (errno == EINTR) continue;
        return fail_errno("wait for", "standard input");
      }
      if (fds[1].revents != 0 || fds[2].revents != 0) {
        stopped_ = true;
        return ok();
      }
      if (fds[0].revents == 0) continue;
      ssize_t n = ::read(streams_.input, chunk.data(), chunk.size());
      if (n == 0) {
        if (!line_.empty() && !too_long_) take_line();
        return ok();
      }
      if (n < 0 && errno != EINTR && errno != EAGAIN) return fail_errno("read", "standard input");
      if (n > 0) take_bytes({chunk.data(), static_cast<std::size_t>(n)});
    }
  }

  void take_bytes(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t end = bytes.find('\n');
      std::string_view piece = bytes.substr(0, end);
      if (!too_long_ && line_.size() + piece.size() > limits_.line_bytes) {
        too_long_ = true;
        line_.clear();
        line_.shrink_to_fit();
        output_.send(error_text(
            "", {Code::invalid_request,
                 "The line is longer than " + std::to_string(limits_.line_bytes) + " bytes.",
                 {}}));
      }
      if (!too_long_) line_ += piece;
      if (end == std::string_view::npos) return;
      if (!too_long_) take_line();
      line_.clear();
      too_long_ = false;
      bytes.remove_prefix(end + 1);
    }
  }

  void take_line() {
    if (line_.ends_with('\r')) line_.pop_back();
    if (line_.empty()) return;
    auto message = read_message(line_, bounds_);
    Step step = message ? protocol_.handle(peer_, *message, {}) : protocol_.refuse(message.error());
    tell_ = wants_session_over(peer_);
    switch (step.kind) {
      case Step::Kind::reply:
        output_.send(std::move(step.text));
        break;
      case Step::Kind::call:
        begin_call(std::move(step));
        break;
      case Step::Kind::cancel:
        calls_.cancel(step.text);
        if (session_) session_->drop_cancelled();
        break;
      case Step::Kind::answer:
        questions_->answer(step.text, std::move(step.response));
        break;
      case Step::Kind::none:
        break;
    }
  }

  void begin_call(Step step) {
    Request request = std::move(step.request);
    auto link = std::make_shared<StdioLink>(questions_, output_);
    if (!calls_.add(request.id, link)) {
      output_.send(error_text(request.id,
                              {Code::invalid_request, "A request with this id is under way.", {}}));
      return;
    }
    auto done = [this, request, link](const Answer& answer) {
      calls_.remove(request.id);
      // Nothing is said of a cancelled request.
      if (!link->cancelled()) output_.send(protocol_.reply_text(request, answer));
    };
    if (has_session(step.client) && session_->submit(request, link, done)) return;
    calls_.remove(request.id);
    output_.send(error_text(request.id, {Code::busy, "Too many calls wait for their turn.", {}}));
  }

  // False where no thread is to be had for it now.
  bool has_session(const ClientInfo& client) {
    if (session_) return true;
    try {
      session_ = std::make_unique<SessionCalls>(
          service_, client, limits_.calls, [this] { tell_of_the_end(); },
          [this](std::string change) { output_.send(std::move(change)); });
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

  // By the session's thread.
  void tell_of_the_end() {
    if (tell_.load()) output_.send(session_over_text());
  }

  // The client has said all it has to say, but may still read.
  void finish_calls() {
    while (session_ && session_->busy() > 0) {
      std::array<pollfd, 2> fds{pollfd{streams_.stop, POLLIN, 0},
                                pollfd{output_.broken_fd(), POLLIN, 0}};
      int ready = ::poll(fds.data(), fds.size(), look_at_calls_ms);
      if (ready > 0 || (ready < 0 && errno != EINTR) || reader_gone()) return;
    }
  }

  // A pipe whose reader is gone polls with an error before anything is written to it.
  [[nodiscard]] bool reader_gone() const {
    pollfd fd{streams_.output, 0, 0};
    return ::poll(&fd, 1, 0) > 0 && (fd.revents & (POLLERR | POLLHUP)) != 0;
  }

  Service& service_;
  StdioStreams streams_;
  StdioLimits limits_;
  Protocol protocol_;
  Bounds bounds_;
  Peer peer_;
  std::atomic<bool> tell_ = false;  // whether the client hears of a session that is over
  std::string line_;
  bool too_long_ = false;
  bool stopped_ = false;
  std::shared_ptr<OpenQuestions> questions_ = std::make_shared<OpenQuestions>();
  LineOutput output_;
  RunningCalls calls_;
  std::unique_ptr<SessionCalls> session_;  // last: its threads use the others
};

}  // namespace

Status serve_stdio(Service& service, const StdioStreams& streams, const StdioLimits& limits) {
  return StdioServer(service, streams, limits).serve();
}

}  // namespace gyges::mcp
