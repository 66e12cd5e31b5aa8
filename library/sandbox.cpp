#include "gyges/sandbox.h"
#include "base/json.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "base/fd.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/pool.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/run/identity_files.h"
#include "sandbox/run/workspace.h"

namespace gyges::sandbox {

struct Policy::Content {
  isolation::Policy policy;
};

struct Sandbox::State {
  isolation::Policy policy;
  std::string directory;  // of commands
  std::unique_ptr<isolation::Sandbox> sandbox;
};

// Policies from and to the values inside, for the functions of this file.
struct Access {
  static const isolation::Policy& policy(const Policy& policy) { return policy.content_->policy; }
  static Policy make(isolation::Policy value) {
    Policy policy;
    policy.content_ = std::make_shared<Policy::Content>(Policy::Content{std::move(value)});
    return policy;
  }
};

namespace {

using Clock = std::chrono::steady_clock;

Error public_error(const gyges::Error& error) {
  return {printable(error.line()), error.code};
}

template <class Change>
Policy changed(const Policy& policy, Change change) {
  isolation::Policy copy = Access::policy(policy);
  change(copy.limits);
  return Access::make(std::move(copy));
}

// The policy with the workspace among its mounts, and the files that the sandbox starts with.
gyges::Result<isolation::SandboxSpec> make_spec(const Policy& policy, const Options& options) {
  isolation::SandboxSpec spec;
  spec.policy = Access::policy(policy);
  if (options.workspace.empty()) {
    spec.policy.filesystem.workspace = isolation::Filesystem::Workspace::none;
  } else {
    std::error_code code;
    std::filesystem::path workspace = std::filesystem::canonical(options.workspace, code);
    if (code) return fail_errno("find workspace", options.workspace, code.value());
    GYGES_CHECK(run::add_workspace(workspace, spec.policy));
  }
  spec.seed = run::identity_files(spec.policy);
  for (const File& file : options.files) {
    isolation::SeedFile seed;
    seed.path = file.path;
    seed.content = file.content;
    seed.mode = file.mode;
    spec.seed.push_back(std::move(seed));
  }
  return spec;
}

std::string directory_of(const isolation::Policy& policy, const Options& options) {
  if (policy.filesystem.workspace == isolation::Filesystem::Workspace::none) return {};
  std::error_code ignored;
  return std::filesystem::canonical(options.workspace, ignored).string();
}

// Moves the bytes of one command between its pipes and strings until it has ended and its output is
// drained.
class Exchange {
 public:
  Exchange(isolation::Sandbox& sandbox, std::uint64_t output_limit, const std::string& input)
      : sandbox_(sandbox), limit_(output_limit), input_(input) {}

  gyges::Result<Outcome> run(isolation::Command command, std::optional<Clock::time_point> until) {
    GYGES_TRY(Pipe output, make_pipe());
    GYGES_TRY(Pipe error, make_pipe());
    // A socket, because a write to it can be told not to raise SIGPIPE in the user's process.
    GYGES_TRY(Pipe input, make_socket_pair(SOCK_STREAM));
    command.standard_output = output.write.get();
    command.standard_error = error.write.get();
    command.standard_input = input.read.get();
    GYGES_TRY(isolation::CommandId id, sandbox_.spawn(command));
    output.write.reset();
    error.write.reset();
    input.read.reset();
    output_ = std::move(output.read);
    error_ = std::move(error.read);
    to_command_ = std::move(input.write);
    ::fcntl(to_command_.get(), F_SETFL, O_NONBLOCK);
    if (input_.empty()) to_command_.reset();
    GYGES_TRY(isolation::CommandEnd end, pump(id, until));
    outcome_.exit_code = end.exit_code;
    outcome_.signal = end.signal;
    outcome_.start_error = std::move(end.start_error);
    for (const auto& hit : sandbox_.limits_hit())
      outcome_.limits_hit.push_back({hit.limit, hit.detail});
    return std::move(outcome_);
  }

 private:
  gyges::Result<isolation::CommandEnd> pump(isolation::CommandId id,
                                            std::optional<Clock::time_point> until) {
    std::optional<isolation::CommandEnd> end;
    for (;;) {
      if (end && !output_ && !error_) return *end;
      std::array<pollfd, 4> wait{pollfd{output_.get(), POLLIN, 0}, pollfd{error_.get(), POLLIN, 0},
                                 pollfd{end ? -1 : sandbox_.event_fd(), POLLIN, 0},
                                 pollfd{end ? -1 : to_command_.get(), POLLOUT, 0}};
      // A descendant that keeps the streams open is not waited for.
      int timeout = end ? 50 : -1;
      if (!end && until) {
        auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - Clock::now()).count();
        timeout = static_cast<int>(std::clamp<long long>(left, 0, 86400000));
      }
      int ready = ::poll(wait.data(), wait.size(), timeout);
      if (ready < 0 && errno != EINTR) return fail_errno("wait for", "the command's output");
      if (ready == 0 && end) return *end;
      if (until && !end && Clock::now() >= *until) {
        GYGES_CHECK(sandbox_.signal(id, SIGKILL, true));
        until.reset();
      }
      if (ready <= 0) continue;
      if (wait[0].revents != 0) take(output_, outcome_.output);
      if (wait[1].revents != 0) take(error_, outcome_.error);
      if (wait[2].revents != 0) {
        GYGES_TRY(end, sandbox_.wait(id, Clock::now()));
      }
      if (wait[3].revents != 0) give();
    }
  }

  void take(UniqueFd& from, std::string& into) {
    std::array<char, 65536> chunk;
    ssize_t n = ::read(from.get(), chunk.data(), chunk.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
      from.reset();
      return;
    }
    auto size = static_cast<std::size_t>(n);
    if (limit_ > 0 && taken_ + size > limit_) {
      size = static_cast<std::size_t>(limit_ - taken_);
      sandbox_.note_limit(
          {"output_bytes", "output past " + std::to_string(limit_) + " bytes was dropped"});
    }
    taken_ += size;
    into.append(chunk.data(), size);
  }

  void give() {
    ssize_t n = ::send(to_command_.get(), input_.data() + given_, input_.size() - given_,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) given_ += static_cast<std::size_t>(n);
    if (n <= 0 || given_ == input_.size()) to_command_.reset();
  }

  isolation::Sandbox& sandbox_;
  std::uint64_t limit_;
  const std::string& input_;
  Outcome outcome_;
  UniqueFd output_;
  UniqueFd error_;
  UniqueFd to_command_;
  std::size_t given_ = 0;
  std::uint64_t taken_ = 0;
};

char letter(isolation::FileChange::Type type) {
  switch (type) {
    case isolation::FileChange::Type::file:
      return 'f';
    case isolation::FileChange::Type::directory:
      return 'd';
    case isolation::FileChange::Type::symlink:
      return 'l';
    case isolation::FileChange::Type::fifo:
      return 'p';
    case isolation::FileChange::Type::socket:
      return 's';
    case isolation::FileChange::Type::device:
      break;
  }
  return 'c';
}

Change::Kind kind_of(isolation::FileChange::Kind kind) {
  if (kind == isolation::FileChange::Kind::added) return Change::Kind::added;
  return kind == isolation::FileChange::Kind::modified ? Change::Kind::modified
                                                       : Change::Kind::deleted;
}

}  // namespace

Result<Policy> Policy::load(const std::string& preset_or_path) {
  auto policy = isolation::load_policy(preset_or_path);
  if (!policy) return public_error(policy.error());
  return Access::make(std::move(*policy));
}

Result<Policy> Policy::from_json(const std::string& text) {
  auto value = parse_json(text, "policy");
  if (!value) return public_error(value.error());
  auto policy = isolation::policy_from_json(*value, "policy");
  if (!policy) return public_error(policy.error());
  return Access::make(std::move(*policy));
}

Policy Policy::with_wall_time(std::chrono::seconds limit) const {
  return changed(*this, [&](isolation::Limits& limits) {
    limits.wall_seconds = static_cast<std::uint64_t>(std::max<long long>(limit.count(), 0));
  });
}

Policy Policy::with_memory(std::uint64_t bytes) const {
  return changed(*this, [&](isolation::Limits& limits) { limits.memory_bytes = bytes; });
}

Policy Policy::with_processes(std::uint64_t count) const {
  return changed(*this, [&](isolation::Limits& limits) { limits.processes = count; });
}

Policy Policy::with_output(std::uint64_t bytes) const {
  return changed(*this, [&](isolation::Limits& limits) { limits.output_bytes = bytes; });
}

std::string Policy::json() const {
  return isolation::policy_to_json(content_->policy).dump(2);
}

Sandbox::Sandbox(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sandbox::Sandbox(Sandbox&&) noexcept = default;
Sandbox& Sandbox::operator=(Sandbox&&) noexcept = default;
Sandbox::~Sandbox() = default;

Result<Sandbox> Sandbox::start(const Policy& policy, const Options& options) {
  auto spec = make_spec(policy, options);
  if (!spec) return public_error(spec.error());
  auto sandbox = isolation::Sandbox::start(*spec);
  if (!sandbox) return public_error(sandbox.error());
  auto state = std::make_unique<State>();
  state->directory = directory_of(spec->policy, options);
  state->policy = std::move(spec->policy);
  state->sandbox = std::move(*sandbox);
  return Sandbox(std::move(state));
}

Result<Outcome> Sandbox::run(const Command& command,
                             std::optional<std::chrono::milliseconds> timeout) {
  if (!state_ || !state_->sandbox) return Error{"run command: the sandbox was stopped", 0};
  isolation::Command inner;
  inner.argv = command.argv;
  inner.environment = isolation::command_environment(state_->policy);
  for (const std::string& variable : command.environment) {
    std::string name = variable.substr(0, variable.find('=') + 1);
    std::erase_if(inner.environment,
                  [&](const std::string& other) { return other.starts_with(name); });
    inner.environment.push_back(variable);
  }
  inner.directory = command.directory.empty() ? state_->directory : command.directory;
  std::optional<Clock::time_point> until;
  if (timeout) until = Clock::now() + *timeout;
  Exchange exchange(*state_->sandbox, state_->policy.limits.output_bytes, command.input);
  auto outcome = exchange.run(std::move(inner), until);
  if (!outcome) return public_error(outcome.error());
  return std::move(*outcome);
}

Result<End> Sandbox::stop(const std::string& contents_directory) {
  if (!state_ || !state_->sandbox) return Error{"stop sandbox: it was stopped already", 0};
  auto ended = state_->sandbox->stop(contents_directory);
  state_->sandbox.reset();
  if (!ended) return public_error(ended.error());
  End end;
  end.changes_complete = ended->changes_complete;
  end.processes_left = ended->processes_left;
  for (const auto& hit : ended->limits_hit) end.limits_hit.push_back({hit.limit, hit.detail});
  for (const isolation::FileChange& change : ended->changes)
    end.changes.push_back({kind_of(change.kind), change.path, letter(change.type), change.mode,
                           change.size, change.sha256});
  return end;
}

struct Pool::State {
  isolation::Policy policy;
  std::string directory;
  std::unique_ptr<isolation::SandboxPool> pool;
};

Pool::Pool(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pool::Pool(Pool&&) noexcept = default;
Pool& Pool::operator=(Pool&&) noexcept = default;
Pool::~Pool() = default;

Result<Pool> Pool::create(const Policy& policy, const Options& options, std::uint32_t size) {
  auto spec = make_spec(policy, options);
  if (!spec) return public_error(spec.error());
  auto state = std::make_unique<State>();
  state->directory = directory_of(spec->policy, options);
  state->policy = spec->policy;
  auto pool = isolation::SandboxPool::create(std::move(*spec), size);
  if (!pool) return public_error(pool.error());
  state->pool = std::move(*pool);
  return Pool(std::move(state));
}

Result<Sandbox> Pool::take() {
  auto sandbox = state_->pool->take(nullptr);
  if (!sandbox) return public_error(sandbox.error());
  auto state = std::make_unique<Sandbox::State>();
  state->policy = state_->policy;
  state->directory = state_->directory;
  state->sandbox = std::move(*sandbox);
  return Sandbox(std::move(state));
}

Result<Outcome> run(const Policy& policy, const Command& command, const Options& options) {
  auto sandbox = Sandbox::start(policy, options);
  if (!sandbox) return sandbox.error();
  auto outcome = sandbox->run(command);
  auto end = sandbox->stop();
  if (!outcome) return outcome;
  if (!end) return end.error();
  // Those of the whole sandbox, memory for example, are known at its end.
  outcome->limits_hit = std::move(end->limits_hit);
  return outcome;
}

const char* version() {
  return GYGES_VERSION;
}

}  // namespace gyges::sandbox
