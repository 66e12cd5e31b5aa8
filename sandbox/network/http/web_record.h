// The flow of one HTTP exchange, the same for every version of the protocol.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sandbox/network/http/body_record.h"
#include "sandbox/network/http/http1_service.h"
#include "sandbox/network/http/web_server.h"

namespace gyges::network {

// Searches what a request says besides its body.
void search_request(const CanarySet& canaries, SplitCanaries& split, const RequestHead& head,
                    std::vector<CanaryHit>& hits);
void search_trailer(const CanarySet& canaries, std::string_view name, std::string_view value,
                    std::vector<CanaryHit>& hits);
void search_extension(const CanarySet& canaries, std::string_view text,
                      std::vector<CanaryHit>& hits);

class WebRecord {
 public:
  WebRecord(const WebShared& shared, const TlsFacts* tls);

  // Each at most once, in this order; body(), trailer() and extension() any number of times.
  void request(const RequestHead& head, std::int64_t now_ns);
  void body(std::string_view bytes);
  void trailer(std::string_view name, std::string_view value);
  void extension(std::string_view text);  // of a chunk
  void request_ended(bool whole);
  void response(const WebResponse& response, std::string_view sent_body);
  // The same for an answer that comes in pieces.
  void answer(int status, const Headers& headers);
  void answer_body(std::string_view bytes);
  void answer_ended(bool whole);
  // A request that is none: what was sent, and why it was refused. All of it is searched; what is
  // returned is the end of it that the flow does not keep.
  std::string_view refused(std::string_view bytes, std::string reason);
  // The client left before the end, which refuses nothing.
  void left(std::string reason);

  // Spent by this.
  Flow finish(std::int64_t now_ns);

 private:
  const WebShared& shared_;
  Flow flow_;
  BodyRecord body_;
  bool has_request_ = false;
  std::optional<BodyRecord> answer_;
};

// What every answer of a version carries besides: the date. Cached for a second.
const std::string& http_date();

}  // namespace gyges::network
