#include "sandbox/network/gateway/host_resolver.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "sandbox/network/dns/message.h"
#include "sandbox/network/gateway/gateway.h"

namespace gyges::network {
namespace {

constexpr std::int64_t patience = 2'000'000'000;
constexpr unsigned rounds = 2;

dns::Type type_of(bool v6) {
  return v6 ? dns::Type::aaaa : dns::Type::a;
}

}  // namespace

void HostResolver::resolve(std::string_view name, bool v6,
                           std::function<void(const Answer&)> done) {
  std::uint64_t key = gateway_.new_key();
  Question question;
  question.name = name;
  question.v6 = v6;
  question.done = std::move(done);
  bool full = questions_.size() >= most_pending || servers_.empty();
  questions_.emplace(key, std::move(question));
  // The caller is promised an answer later, never now.
  gateway_.at(gateway_.now(), [this, key, full] {
    if (full) return finish(key, {{}, 0, "SERVFAIL"});
    ask(key);
  });
}

void HostResolver::ask(std::uint64_t key) {
  auto found = questions_.find(key);
  if (found == questions_.end()) return;
  Question& question = found->second;
  if (question.attempt >= servers_.size() * rounds) return finish(key, {{}, 0, "TIMEOUT"});
  const IpAddress& server = servers_[question.attempt++ % servers_.size()];
  sockaddr_storage address{};
  unsigned length = to_sockaddr({server, 53}, address);
  question.socket.reset(::socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  (void)!::getrandom(&question.id, sizeof(question.id), 0);
  auto packet = dns::write_query(question.id, question.name, type_of(question.v6));
  if (!packet) return finish(key, {{}, 0, "SERVFAIL"});
  if (question.socket &&
      ::connect(question.socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0 &&
      gateway_.watch(question.socket.get(), EPOLLIN, key, true))
    (void)!::send(question.socket.get(), packet->data(), packet->size(), MSG_NOSIGNAL);
  gateway_.at(gateway_.now() + patience, [this, key, attempt = question.attempt] {
    auto waiting = questions_.find(key);
    if (waiting != questions_.end() && waiting->second.attempt == attempt) ask(key);
  });
}

bool HostResolver::readable(std::uint64_t key) {
  auto found = questions_.find(key);
  if (found == questions_.end()) return false;
  Question& question = found->second;
  std::array<char, 4096> bytes{};
  ssize_t n = ::recv(question.socket.get(), bytes.data(), bytes.size(), 0);
  if (n < 0) {
    // Nobody is there: the next one is asked at once.
    if (errno != EAGAIN && errno != EINTR) ask(key);
    return true;
  }
  auto message = dns::parse_message({bytes.data(), static_cast<std::size_t>(n)});
  auto type = static_cast<std::uint16_t>(type_of(question.v6));
  if (!message || !message->is_response() || message->id != question.id ||
      message->questions.size() != 1 || message->questions[0].name != question.name ||
      message->questions[0].type != type)
    return true;
  Answer answer;
  answer.code = dns::rcode_name(message->rcode());
  answer.ttl_seconds = 300;
  for (const dns::Record& record : message->answers) {
    if (record.type != type || answer.addresses.size() >= 16) continue;
    auto address = record.address();
    if (!address) continue;
    answer.addresses.push_back(*address);
    answer.ttl_seconds = std::min(answer.ttl_seconds, record.ttl);
  }
  if (answer.addresses.empty() && message->truncated()) answer.code = "SERVFAIL";
  finish(key, answer);
  return true;
}

void HostResolver::finish(std::uint64_t key, const Answer& answer) {
  auto found = questions_.find(key);
  if (found == questions_.end()) return;
  Question question = std::move(found->second);
  questions_.erase(found);
  question.done(answer);
}

}  // namespace gyges::network
