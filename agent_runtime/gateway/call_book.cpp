#include "agent_runtime/gateway/call_book.h"

#include <algorithm>

namespace gyges::gateway {
namespace {

// How far behind the recorder may be with what it shows.
constexpr std::uint64_t longest_delay_ns = 60'000'000'000;

bool runs(const recorder::ExecutedProgram& program, const std::string& command) {
  for (std::size_t i = 1; i < program.argv.size(); ++i)
    if (holds_command(program.argv[i], command, program.truncated && i + 1 == program.argv.size()))
      return true;
  return false;
}

}  // namespace

void CallBook::open(const WireCall& call) {
  std::scoped_lock lock(mutex_);
  for (const std::string& command : call.commands)
    open_.push_back({call.call, command, call.requested_ns, 0});
  for (std::size_t i = 0; i < servers_.size(); ++i)
    if (!call.server.empty() && servers_[i].name == call.server)
      served_.push_back({call.call, static_cast<std::uint32_t>(i + 1), call.requested_ns, 0});
}

void CallBook::close(std::uint32_t call, std::uint64_t answered_ns) {
  std::scoped_lock lock(mutex_);
  for (Open& one : open_)
    if (one.call == call) one.answered_ns = answered_ns;
  for (Served& one : served_)
    if (one.call == call) one.answered_ns = answered_ns;
}

std::uint32_t CallBook::server_of(const recorder::ExecutedProgram& program) {
  for (std::size_t i = 0; i < servers_.size(); ++i)
    if (runs_command(program.argv, program.truncated, servers_[i].command))
      return static_cast<std::uint32_t>(i + 1);
  return 0;
}

std::uint32_t CallBook::call_at(std::uint32_t server, std::uint64_t time_ns) {
  std::scoped_lock lock(mutex_);
  std::erase_if(served_, [&](const Served& one) {
    return one.answered_ns != 0 && one.answered_ns + longest_delay_ns < time_ns;
  });
  for (auto one = served_.rbegin(); one != served_.rend(); ++one)
    if (one->server == server && one->requested_ns <= time_ns &&
        (one->answered_ns == 0 || time_ns <= one->answered_ns))
      return one->call;
  return 0;
}

std::uint32_t CallBook::claim(const recorder::ExecutedProgram& program) {
  std::scoped_lock lock(mutex_);
  std::erase_if(open_, [&](const Open& one) {
    return one.answered_ns != 0 && one.answered_ns + longest_delay_ns < program.time_ns;
  });
  for (auto one = open_.begin(); one != open_.end(); ++one) {
    if (program.time_ns < one->requested_ns ||
        (one->answered_ns != 0 && program.time_ns > one->answered_ns) ||
        !runs(program, one->command))
      continue;
    std::uint32_t call = one->call;
    open_.erase(one);
    return call;
  }
  return 0;
}

}  // namespace gyges::gateway
