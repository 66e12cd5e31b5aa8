// HTTP/2 over one TLS connection, by nghttp2. Bounded: 100 streams at a time, heads of 32 KiB; the
// library bounds floods of settings, pings, resets and continuation frames.
#pragma once

#include <memory>

#include "sandbox/network/http/http1_service.h"

namespace gyges::network {

std::unique_ptr<StreamService> make_http2(const WebShared& shared, const Connection& connection,
                                          const TlsFacts& tls, StreamPort& port);

}  // namespace gyges::network
