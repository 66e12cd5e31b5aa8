#include "tools/mcp/http_sessions.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <system_error>

#include "tools/mcp/http_connection.h"

namespace gyges::mcp {
namespace {

constexpr std::size_t max_addresses = 4096;
constexpr std::size_t max_name = 64;
// No session id begins so: ids of sessions are hexadecimal.
constexpr std::string_view shared_prefix = "shared ";

// 32 hexadecimal digits; empty where the kernel gives no random bytes.
std::string random_id() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  std::string id;
  for (unsigned char byte : bytes) {
    id += "0123456789abcdef"[byte >> 4U];
    id += "0123456789abcdef"[byte & 15U];
  }
  return id;
}

}  // namespace

std::optional<std::string> shared_session_name(std::string_view target) {
  target = target.substr(0, target.find('?'));
  if (target == "/mcp" || target == "/mcp/") return std::string();
  if (!target.starts_with("/mcp/")) return std::nullopt;
  target.remove_prefix(5);
  if (target.size() > max_name) return std::nullopt;
  for (char c : target)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.')
      return std::nullopt;
  return std::string(target);
}

bool HttpSessions::make_room() {
  if (size() < limits_.sessions) return true;
  auto oldest = sessions_.end();
  for (auto it = sessions_.begin(); it != sessions_.end(); ++it)
    if (!it->second->calls &&
        (oldest == sessions_.end() || it->second->used < oldest->second->used))
      oldest = it;
  if (oldest == sessions_.end()) return false;
  sessions_.erase(oldest);
  return true;
}

std::shared_ptr<HttpSession> HttpSessions::add(const std::string& id) {
  if (id.empty() || !make_room()) return nullptr;
  auto session = std::make_shared<HttpSession>();
  session->id = id;
  session->used = Clock::now();
  sessions_.emplace(id, session);
  return session;
}

std::shared_ptr<HttpSession> HttpSessions::create() {
  return add(random_id());
}

std::shared_ptr<HttpSession> HttpSessions::find(const std::string& id) {
  auto found = id.starts_with(shared_prefix) ? sessions_.end() : sessions_.find(id);
  if (found == sessions_.end()) return nullptr;
  found->second->used = Clock::now();
  return found->second;
}

std::shared_ptr<HttpSession> HttpSessions::shared(const std::string& name,
                                                  const ClientInfo& client) {
  std::string id = std::string(shared_prefix) + name + '\n' + client.name;
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return add(id);
  found->second->used = Clock::now();
  return found->second;
}

void HttpSessions::retire(HttpSession& session) {
  for (auto& [id, link] : session.running)
    if (auto running = link.lock()) running->cancel();
  session.running.clear();
  // Those of calls end with their answers.
  if (auto reader = session.streams.own()->reader.lock()) reader->end_stream();
  if (!session.calls) return;
  session.calls->stop();
  ending_.push_back(std::move(session.calls));
}

bool HttpSessions::end(const std::string& id) {
  auto found = id.starts_with(shared_prefix) ? sessions_.end() : sessions_.find(id);
  if (found == sessions_.end()) return false;
  retire(*found->second);
  sessions_.erase(found);
  return true;
}

SessionCalls* HttpSessions::calls_of(const std::shared_ptr<HttpSession>& session,
                                     const ClientInfo& client) {
  if (session->calls) return session->calls.get();
  // It may have been let go to make room since it was found.
  if (sessions_.count(session->id) == 0) return nullptr;
  auto over = [tell = over_, weak = std::weak_ptr<HttpSession>(session)] {
    if (tell) tell(weak);
  };
  try {
    auto change = [tell = tell_, weak = std::weak_ptr<HttpSession>(session)](std::string text) {
      if (tell) tell(weak, std::move(text));
    };
    session->calls = std::make_unique<SessionCalls>(service_, client, limits_.calls, over, change);
  } catch (const std::system_error&) {
    return nullptr;  // no thread is to be had
  }
  return session->calls.get();
}

bool HttpSessions::within_rate(const std::string& address, Clock::time_point now) {
  if (rates_.size() >= max_addresses && rates_.count(address) == 0) rates_.clear();
  auto [it, fresh] = rates_.try_emplace(address, Bucket{limits_.rate, now});
  Bucket& bucket = it->second;
  // One second's worth may come at once.
  double earned = std::chrono::duration<double>(now - bucket.at).count() * limits_.rate;
  bucket.tokens = std::min(limits_.rate, bucket.tokens + earned);
  bucket.at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

void HttpSessions::sweep(Clock::time_point now) {
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    HttpSession& session = *it->second;
    if (session.calls) session.calls->drop_cancelled();
    bool busy = session.calls && session.calls->busy() > 0;
    if (busy) session.used = now;
    if (busy || now - session.used < limits_.idle) {
      ++it;
      continue;
    }
    retire(session);
    it = sessions_.erase(it);
  }
  std::erase_if(ending_, [](const auto& calls) { return calls->finished(); });
}

void HttpSessions::end_all() {
  for (auto& [id, session] : sessions_) retire(*session);
  sessions_.clear();
  ending_.clear();  // waits for each
}

}  // namespace gyges::mcp
