// What the simulated web answers to a request, whatever carried it. One object serves all
// connections of a world.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "sandbox/network/http/request_reader.h"
#include "sandbox/network/service.h"
#include "sandbox/network/world.h"
#include "sandbox/network/world/zone.h"

namespace gyges::network {

struct WebResponse {
  int status = 200;
  Headers headers;        // without Content-Length, Date and Connection
  std::string_view body;  // lives as long as the world, or as `own_body`
  std::string own_body;
  std::int64_t delay_ns = 0;
  std::string reason;  // why the request was turned away; for the record
  [[nodiscard]] std::string_view content() const { return own_body.empty() ? body : own_body; }
};

const char* status_text(int status);

// What the connection already says about the host.
struct WebContext {
  const Connection& connection;
  bool tls = false;
  std::string sni;  // canonical; empty without
};

class WebServer {
 public:
  // Borrowed; all outlive the server.
  WebServer(const Zone& zone, const WorldData& world, const NameTable& names);

  // Pure but for the random numbers of latency and errors, and the clock of tokens.
  WebResponse respond(const WebContext& context, const RequestHead& request);

  // The answer to what is no request.
  WebResponse reject(int status, std::string reason) const;

 private:
  // The host of the request must be one that this destination stands for: the name it was looked
  // up under, a host of the world at this address, or the address itself.
  [[nodiscard]] bool belongs(const WebContext& context, const Host& host) const;
  void serve_site(const Site& site, const WebContext& context, const RequestHead& request,
                  WebResponse& response);
  void serve_metadata(const RequestHead& request, WebResponse& response);
  [[nodiscard]] std::string metadata_token(std::int64_t expires) const;

  const Zone& zone_;
  const WorldData& world_;
  const NameTable& names_;
  std::mt19937_64 random_;
};

}  // namespace gyges::network
