#include "sandbox/run/relay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "base/fd.h"
#include "sandbox/run/idle_memory.h"
#include "sandbox/run/terminal.h"

namespace gyges::run {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto quiet_time = std::chrono::milliseconds(50);
// What descendants of a command that has ended may still say: for so long, not counting the time
// that the reader takes, and as much as pipes hold at most (fs.pipe-max-size).
constexpr auto longest_rest = std::chrono::milliseconds(500);
constexpr std::uint64_t largest_rest = 2U << 20U;
// A command that says nothing for so long is not one of those whose start and end have to be fast.
constexpr auto idle_time = std::chrono::milliseconds(300);
constexpr std::array forwarded{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT};

sigset_t forwarded_set() {
  sigset_t wanted;
  sigemptyset(&wanted);
  // Not passed on: the command's terminal sends its own when its size changes.
  sigaddset(&wanted, SIGWINCH);
  for (int number : forwarded) sigaddset(&wanted, number);
  return wanted;
}

// Blocks the forwarded signals and turns them into a descriptor; restores the mask at the end.
class SignalsToForward {
 public:
  SignalsToForward() {
    sigset_t wanted = forwarded_set();
    ::pthread_sigmask(SIG_BLOCK, &wanted, &before_);
    fd_.reset(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    // A reader of ours that went away shows as EPIPE.
    before_pipe_ = ::signal(SIGPIPE, SIG_IGN);
  }
  ~SignalsToForward() {
    ::signal(SIGPIPE, before_pipe_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalsToForward(const SignalsToForward&) = delete;
  SignalsToForward& operator=(const SignalsToForward&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  sigset_t before_{};
  UniqueFd fd_;
  sighandler_t before_pipe_ = SIG_DFL;
};

class Relay {
 public:
  Relay(isolation::Sandbox& sandbox, const RelayStreams& streams)
      : sandbox_(sandbox), streams_(streams) {}

  Result<isolation::CommandEnd> run(isolation::Command command) {
    if (streams_.terminal) return run_at_terminal(std::move(command));
    GYGES_TRY(Pipe output, make_pipe());
    GYGES_TRY(Pipe error, make_pipe());
    Pipe input;
    if (streams_.input >= 0) {
      GYGES_TRY(input, make_pipe());
      command.standard_input = input.read.get();
    }
    command.standard_output = output.write.get();
    command.standard_error = error.write.get();
    GYGES_TRY(isolation::CommandId id, sandbox_.spawn(command));
    output.write.reset();
    error.write.reset();
    input.read.reset();
    output_ = std::move(output.read);
    error_ = std::move(error.read);
    input_ = std::move(input.write);
    if (input_) ::fcntl(input_.get(), F_SETFL, O_NONBLOCK);
    return pump(id);
  }

 private:
  Result<isolation::CommandEnd> run_at_terminal(isolation::Command command) {
    GYGES_TRY(isolation::Terminal terminal, sandbox_.take_terminal());
    make_alike(terminal, streams_.input);
    Pipe error;
    bool own_error = streams_.error >= 0 && ::isatty(streams_.error) == 0;
    if (own_error) {
      GYGES_TRY(error, make_pipe());
    }
    command.terminal = true;
    command.standard_input = command.standard_output = terminal.slave.get();
    command.standard_error = own_error ? error.write.get() : terminal.slave.get();
    RawTerminal raw(streams_.input);
    GYGES_TRY(isolation::CommandId id, sandbox_.spawn(command));
    terminal.slave.reset();
    error.write.reset();
    error_ = std::move(error.read);
    input_.reset(::fcntl(terminal.master.get(), F_DUPFD_CLOEXEC, 3));
    if (!input_) return fail_errno("copy", "pseudo-terminal");
    output_ = std::move(terminal.master);
    return pump(id);
  }

  Result<isolation::CommandEnd> pump(isolation::CommandId id) {
    std::optional<isolation::CommandEnd> end;
    bool released = false;
    Clock::duration rested{};
    std::uint64_t read_at_end = 0;
    for (;;) {
      // After the command's end only what its descendants still write matters.
      if (end &&
          ((!output_ && !error_) || rested > longest_rest || read_ - read_at_end > largest_rest))
        return *end;
      bool want_input = input_ && pending_.empty() && !end && !ended_;
      std::array<pollfd, 6> wait{pollfd{output_.get(), POLLIN, 0},
                                 pollfd{error_.get(), POLLIN, 0},
                                 pollfd{end ? -1 : sandbox_.event_fd(), POLLIN, 0},
                                 pollfd{signals_.fd(), POLLIN, 0},
                                 pollfd{want_input ? streams_.input : -1, POLLIN, 0},
                                 pollfd{input_ && !end ? input_.get() : -1,
                                        static_cast<short>(pending_.empty() ? 0 : POLLOUT), 0}};
      auto timeout = end ? quiet_time : released ? std::chrono::milliseconds(-1) : idle_time;
      const auto before = Clock::now();
      int ready = ::poll(wait.data(), wait.size(), static_cast<int>(timeout.count()));
      if (end) rested += Clock::now() - before;
      if (ready < 0 && errno != EINTR) return fail_errno("wait for", "the command's output");
      if (ready == 0 && end) return *end;
      if (ready == 0) {
        release_idle_memory();
        released = true;
      }
      if (ready <= 0) continue;
      if (wait[0].revents != 0) pass_on(output_, streams_.output);
      if (wait[1].revents != 0) pass_on(error_, streams_.error);
      if (wait[2].revents != 0) {
        GYGES_TRY(end, sandbox_.wait(id, Clock::now()));
        read_at_end = read_;
      }
      if (wait[3].revents != 0) forward_signals(id);
      if (wait[4].revents != 0) read_input();
      if ((wait[5].revents & POLLOUT) != 0)
        write_input();
      else if (wait[5].revents != 0)
        input_.reset();  // nobody inside reads any more
    }
  }

  void pass_on(UniqueFd& from, int to) {
    std::array<char, 65536> chunk;
    ssize_t n = ::read(from.get(), chunk.data(), chunk.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
      from.reset();
      return;
    }
    auto size = static_cast<std::size_t>(n);
    read_ += size;
    if (streams_.output_limit > 0 && passed_ + size > streams_.output_limit) {
      size = static_cast<std::size_t>(streams_.output_limit - passed_);
      sandbox_.note_limit(
          {"output_bytes", fmt::format("output past {} bytes was dropped", streams_.output_limit)});
    }
    passed_ += size;
    if (to < 0 || size == 0) return;
    auto written = write_all(to, {chunk.data(), size});
    if (written) return;
    // The command learns it from its own pipe, if it writes again.
    from.reset();
    if (written.error().code != EPIPE && streams_.lost != nullptr) *streams_.lost = written.error();
  }

  void forward_signals(isolation::CommandId id) {
    signalfd_siginfo info{};
    while (::read(signals_.fd(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)))
      if (info.ssi_signo != SIGWINCH)
        (void)sandbox_.signal(id, static_cast<int>(info.ssi_signo), true).has_value();
      else if (streams_.terminal && output_)
        copy_window_size(streams_.input, output_.get());
  }

  void read_input() {
    std::array<char, 65536> chunk;
    ssize_t n = ::read(streams_.input, chunk.data(), chunk.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0 && streams_.terminal && !ended_) {
      // What a person types to end a file; a terminal cannot be closed for reading alone.
      pending_.assign(1, '\x04');
      ended_ = true;
    } else if (n <= 0)
      input_.reset();
    else
      pending_.assign(chunk.data(), static_cast<std::size_t>(n));
  }

  void write_input() {
    ssize_t n = ::write(input_.get(), pending_.data(), pending_.size());
    if (n > 0) pending_.erase(0, static_cast<std::size_t>(n));
    if (n < 0 && errno != EAGAIN && errno != EINTR) input_.reset();
  }

  isolation::Sandbox& sandbox_;
  const RelayStreams& streams_;
  SignalsToForward signals_;
  UniqueFd output_;
  UniqueFd error_;
  UniqueFd input_;
  std::string pending_;
  bool ended_ = false;  // the caller's input, with a terminal
  std::uint64_t read_ = 0;
  std::uint64_t passed_ = 0;
};

}  // namespace

void hold_forwarded_signals() {
  sigset_t wanted = forwarded_set();
  ::pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
}

Result<isolation::CommandEnd> run_relayed(isolation::Sandbox& sandbox, isolation::Command command,
                                          const RelayStreams& streams) {
  return Relay(sandbox, streams).run(std::move(command));
}

}  // namespace gyges::run
