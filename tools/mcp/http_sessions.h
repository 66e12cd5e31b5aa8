// The sessions of an HTTP server, with the bounds that keep one client from taking all of them.
// Used by one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/mcp/call_link.h"
#include "tools/mcp/event_streams.h"
#include "tools/mcp/protocol.h"
#include "tools/mcp/session_calls.h"

namespace gyges::mcp {

// The NAME of /mcp/NAME, empty for /mcp; nullopt for another path.
std::optional<std::string> shared_session_name(std::string_view target);

struct SessionLimits {
  std::size_t sessions = 32;        // of all clients, those that are being sealed among them
  CallLimits calls{8, 16};          // of one session
  std::chrono::seconds idle{1800};  // a session without a call for so long is ended
  double rate = 5000;               // requests a second of one client address
};

struct HttpSession {
  std::string id;
  Peer peer;
  std::shared_ptr<OpenQuestions> questions = std::make_shared<OpenQuestions>();
  std::map<std::string, std::weak_ptr<CallLink>> running;  // by the JSON text of the request's id
  EventStreams streams;
  std::unique_ptr<SessionCalls> calls;  // null before the first call
  std::chrono::steady_clock::time_point used;
};

class HttpSessions {
 public:
  using Clock = std::chrono::steady_clock;

  // By a thread of the session that is over by itself.
  using Over = std::function<void(std::weak_ptr<HttpSession>)>;
  // By whatever thread: a notification for the session's client (see SessionTasks::Tell).
  using Tell = std::function<void(std::weak_ptr<HttpSession>, std::string notification)>;

  // `service` is borrowed.
  HttpSessions(Service& service, const SessionLimits& limits, Over over, Tell tell = {})
      : service_(service), limits_(limits), over_(std::move(over)), tell_(std::move(tell)) {}

  // A new session with an id that cannot be guessed. Where there is no room the session that was
  // used longest ago among those that have called nothing makes some; null where there is none.
  std::shared_ptr<HttpSession> create();
  // Null where there is none of this id.
  std::shared_ptr<HttpSession> find(const std::string& id);
  // That of all requests without a session that have `name` and client in common; null where there
  // is no room.
  std::shared_ptr<HttpSession> shared(const std::string& name, const ClientInfo& client);
  // Whether there was one. Cancels its calls and seals its record, without waiting for that.
  bool end(const std::string& id);
  // What answers its calls, made at the first; null where there is no room.
  SessionCalls* calls_of(const std::shared_ptr<HttpSession>& session, const ClientInfo& client);

  // Whether a request from this address is within the rate.
  bool within_rate(const std::string& address, Clock::time_point now);

  // Ends what has been idle for too long and lets go of what has ended. Call it every second.
  void sweep(Clock::time_point now);
  // Ends all, and waits for their records.
  void end_all();

  [[nodiscard]] std::size_t size() const { return sessions_.size() + ending_.size(); }

 private:
  struct Bucket {
    double tokens = 0;
    Clock::time_point at;
  };
  bool make_room();
  std::shared_ptr<HttpSession> add(const std::string& id);
  void retire(HttpSession& session);

  Service& service_;
  SessionLimits limits_;
  Over over_;
  Tell tell_;
  std::map<std::string, std::shared_ptr<HttpSession>> sessions_;
  std::vector<std::unique_ptr<SessionCalls>> ending_;
  std::map<std::string, Bucket> rates_;
};

}  // namespace gyges::mcp
