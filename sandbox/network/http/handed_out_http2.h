// HTTP/2 whose requests the supervisor answers, over one TLS connection, by nghttp2: as
// handed_out_http1.h, with many exchanges side by side. Each piece of an answer goes out as it
// comes, in a frame of its own. One owner, one thread.
//
// Bounded: 100 streams at a time, heads of 32 KiB, 1 MiB of bodies that the supervisor has not
// taken, and for each answer its window. The library bounds floods of settings, pings, resets and
// continuation frames.
#pragma once

#include <memory>

#include "sandbox/network/http/http1_service.h"
#include "sandbox/network/outlet/outlet.h"
#include "sandbox/network/service.h"

namespace gyges::network {

std::unique_ptr<StreamService> make_handed_out_http2(const WebShared& shared,
                                                     const Connection& connection,
                                                     const TlsFacts& tls, StreamPort& port,
                                                     Outlet& outlet);

}  // namespace gyges::network
