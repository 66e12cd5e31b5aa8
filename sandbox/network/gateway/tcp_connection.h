// One accepted connection of the sandbox: simulated, sunk or relayed.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/flow.h"
#include "sandbox/network/gateway/name_guard.h"
#include "sandbox/network/gateway/relayed_http.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/service.h"

namespace gyges::network {

class Gateway;

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
  // Whether bytes of the sandbox wait to be sent on.
  [[nodiscard]] bool carries() const {
    return !over_ && (connecting_ || sent_upstream_ < to_upstream_.size());
  }
  // Reports the connection, once.
  void report();

  void send(std::string_view bytes) override;
  [[nodiscard]] std::size_t unsent() const override { return to_client_.size() - sent_; }
  void pause(bool paused) override;
  void close() override;
  void reset() override;
  void wake_at(std::int64_t time_ns) override;
  [[nodiscard]] std::int64_t now_ns() const override;
  void record(Flow flow) override;
  void set_flow_time(std::int64_t time_ns) { flow_.time_ns = time_ns; }

 private:
  void read_client();
  void read_upstream();
  void stop_watching_upstream();
  void flush_client();
  void flush_upstream();
  void update();
  void finish(std::string_view reason);
  void dial();
  void guard();
  void guarded(std::string_view bytes);
  void pass_on(std::string_view bytes);
  void refuse(std::string reason);
  void note_tls();
  void note(FlowBody& body, std::string_view bytes) const;

  Gateway& gateway_;
  UniqueFd fd_;
  UniqueFd upstream_;
  Connection connection_;
  Decision decision_;
  bool world_answers_;
  std::unique_ptr<StreamService> service_;
  std::unique_ptr<NameGuard> guard_;  // of a connection that is relayed because of a name
  std::unique_ptr<RelayedHttp> http_;
  std::optional<CanaryStream> search_;
  Flow flow_;
  std::string to_client_;
  std::size_t sent_ = 0;
  std::string to_upstream_;
  std::size_t sent_upstream_ = 0;
  std::uint64_t key_ = 0;
  std::uint64_t wake_ = 0;  // counts wake_at() calls: only the last one wakes
  std::uint32_t watched_ = 0;
  std::uint32_t watched_upstream_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool paused_ = false;
  bool closing_ = false;
  bool client_ended_ = false;
  bool upstream_ended_ = false;
  bool connecting_ = false;
  bool registered_ = false;
  bool registered_upstream_ = false;
  bool over_ = false;
  bool reported_ = false;
};

}  // namespace gyges::network
