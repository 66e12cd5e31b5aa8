// One accepted connection of the sandbox: simulated, sunk or relayed.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "sandbox/network/flow.h"
#include "sandbox/network/gateway/interception.h"
#include "sandbox/network/gateway/name_guard.h"
#include "sandbox/network/gateway/relayed_http.h"
#include "sandbox/network/http/body_record.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/service.h"

namespace gyges::network {

class Gateway;

// Whether the rule wants what it relays hashed.
BodyRecord::Hash hash_of(const Decision& decision);

// An action that is still to come, of one owner with whom it goes.
class Timer {
 public:
  Timer() = default;
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void set(Gateway& gateway, std::int64_t time_ns, std::function<void()> action);
  void cancel();
  [[nodiscard]] bool is_set() const { return gateway_ != nullptr; }
  [[nodiscard]] std::int64_t time() const { return at_->first; }

 private:
  Gateway* gateway_ = nullptr;
  std::multimap<std::int64_t, std::function<void()>>::iterator at_;
};

class TcpConnection final : public StreamPort {
 public:
  static constexpr std::size_t most_unsent = 256U << 10U;

  TcpConnection(Gateway& gateway, UniqueFd fd, Connection connection, const Decision& decision,
                bool world_answers);
  ~TcpConnection() override;

  // Takes up the service or dials. `key` is the client's in epoll, `key` + 1 the other side's.
  void open(std::uint64_t key);
  void client_event(std::uint32_t events);
  void upstream_event(std::uint32_t events);
  struct Busy {
    bool carries = false;  // bytes of the sandbox wait to be sent on
    bool is_open = false;  // its client may still be sending, or the kernel for it
  };
  [[nodiscard]] std::pair<Endpoint, Endpoint> ends() const {
    return {connection_.source, connection_.destination};
  }
  // Reports the connection, once.
  void report();

  void send(std::string_view bytes) override;
  [[nodiscard]] std::size_t unsent() const override { return to_client_.size() - sent_; }
  [[nodiscard]] std::size_t step() const override;
  void pause(bool paused) override;
  void close() override;
  void reset() override;
  void wake_at(std::int64_t time_ns) override;
  [[nodiscard]] std::int64_t now_ns() const override;
  void record(Flow flow) override;
  void left(std::string_view bytes, bool searched) override;

 private:
  void read_client();
  void await_end();
  void read_remains();
  void read_upstream();
  [[nodiscard]] bool may_move() const;
  [[nodiscard]] bool may_move_up() const;
  void move_up();
  void stop_watching_upstream();
  void flush_client();
  void flush_upstream();
  void update();
  void finish(std::string_view reason);
  void dial();
  void guard();
  // For a guard: what it judges is recorded in http_, which this makes.
  NameGuard::Watch watch_http(const TlsFacts* tls, bool strict);
  void sniff(std::string_view bytes);
  void intercept(std::string_view first);
  std::unique_ptr<StreamService> read_inside(const TlsFacts& facts, StreamPort& port);
  void guarded(std::string_view bytes);
  void pass_on(std::string_view bytes);
  void refuse(std::string reason);
  void note_tls();
  void count_queued();
  void count_busy();
  void report_left();

  Gateway& gateway_;
  UniqueFd fd_;
  UniqueFd upstream_;
  Connection connection_;
  Decision decision_;
  bool world_answers_;
  std::unique_ptr<StreamService> service_;
  std::unique_ptr<NameGuard> guard_;  // of a connection that is relayed because of a name
  std::unique_ptr<RelayedHttp> http_;
  std::optional<BodyRecord> sent_body_;  // of what no service reads, or of what is intercepted
  BodyRecord received_body_;
  Interception* interception_ = nullptr;  // inside service_
  std::string hello_;                     // of a connection that may be intercepted
  Flow flow_;
  std::string to_client_;
  std::size_t sent_ = 0;
  std::string to_upstream_;
  std::size_t sent_upstream_ = 0;
  std::uint64_t key_ = 0;
  std::int64_t wake_time_ = 0;      // of the last wake_at()
  std::size_t counted_queued_ = 0;  // of the gateway's count
  Busy counted_busy_;               // of its counts
  std::optional<BodyRecord> left_;  // what the sandbox sent and its service did not read
  bool left_searched_ = false;
  std::vector<CanaryHit> left_hits_;
  Timer wake_, limit_;
  std::uint32_t watched_ = 0;
  std::uint32_t watched_upstream_ = 0;
  bool paused_ = false;
  bool closing_ = false;
  bool lingering_ = false;  // all is sent, and the client may still be sending
  bool client_ended_ = false;
  bool upstream_ended_ = false;
  bool connecting_ = false;
  bool registered_ = false;
  bool registered_upstream_ = false;
  bool over_ = false;
  bool reported_ = false;
  bool sniffing_ = false;
  bool moves_ = false;     // what the destination sends next is moved, not copied
  bool moves_up_ = false;  // what the sandbox sends next
};

}  // namespace gyges::network
