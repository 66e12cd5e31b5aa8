// HTTP/1.1 and 1.0 over one connection. One owner, one thread.
#pragma once

#include <memory>
#include <string>

#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/http/web_server.h"
#include "sandbox/network/service.h"

namespace gyges::network {

// What all HTTP connections of a world share. Borrowed.
struct WebShared {
  WebServer& server;
  const CanarySet& canaries;
  SplitCanaries& split;      // pieces over requests, by host
  std::uint64_t body_bytes;  // recorded of each body
};

// What TLS found out, for the record.
struct TlsFacts {
  std::string sni, alpn, version;
};

// `tls` is null for plain HTTP; it is copied.
std::unique_ptr<StreamService> make_http1(const WebShared& shared, const Connection& connection,
                                          const TlsFacts* tls, StreamPort& port);

}  // namespace gyges::network
