// The exchanges of HTTP/1.x inside a connection that is relayed, for the record: requests as the
// guard let them through or refused them, answers as they pass. Nothing here decides anything: an
// answer that cannot be read ends the reading, not the connection.
//
// Bounded: most_pending requests without an answer. One owner.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sandbox/network/flow.h"
#include "sandbox/network/http/body_record.h"
#include "sandbox/network/http/http1_service.h"
#include "sandbox/network/http/request_reader.h"

namespace gyges::network {

class RelayedHttp {
 public:
  static constexpr std::size_t most_pending = 64;

  // What is searched for in requests. Borrowed.
  struct Search {
    const CanarySet& canaries;
    SplitCanaries& split;
  };

  // `body_bytes`: kept of each body. `tls`: what is known of the connection around it; null: none.
  // `hash`: of the bodies.
  RelayedHttp(std::function<void(Flow)> record, std::uint64_t body_bytes, Search search,
              const TlsFacts* tls = nullptr, BodyRecord::Hash hash = BodyRecord::Hash::yes);
  ~RelayedHttp();

  // False: too many wait for their answers already.
  bool request(const RequestHead& head, std::int64_t now_ns);
  void request_body(std::string_view bytes);
  void request_trailer(std::string_view name, std::string_view value);
  void request_extension(std::string_view text);
  // All requests so far went on to the server.
  void passed();
  // One that was not let through.
  void refused(const RequestHead& head, const std::string& reason, std::int64_t now_ns);
  void response(std::string_view bytes, std::int64_t now_ns);
  // The destination has said that nothing more comes: an answer without a length is whole.
  void server_ended(std::int64_t now_ns);
  // Records what is unanswered, for this reason; what has not gone on to the server was refused.
  void finish(std::int64_t now_ns, const std::string& reason);

 private:
  class Parser;
  void complete(std::int64_t now_ns, bool whole);
  Flow flow_of(const RequestHead& head, std::int64_t now_ns);

  std::function<void(Flow)> record_;
  struct Exchange {
    Flow flow;
    BodyRecord sent, received;
    bool passed = false;
  };
  std::uint64_t body_bytes_;
  Search search_;
  BodyRecord::Hash hash_;
  std::optional<TlsFacts> tls_;
  std::deque<Exchange> pending_;
  std::string buffer_;  // the beginning of a head, or of a line between chunks
  std::unique_ptr<Parser> parser_;
  bool lost_ = false;  // an answer was unreadable
};

}  // namespace gyges::network
