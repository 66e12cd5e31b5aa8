// HTTP/1.x whose requests the supervisor answers, over one connection: requests go out as they come
// in, answers are passed on piece by piece as they arrive. One owner, one thread.
#pragma once

#include <functional>
#include <memory>

#include "sandbox/network/http/http1_service.h"
#include "sandbox/network/outlet/outlet.h"
#include "sandbox/network/service.h"

namespace gyges::network {

// Opens what a client asks for by CONNECT, which such a site serves as a proxy: the service for
// `name` at `port`, or null where nothing is there.
using OpenTunnel = std::function<std::unique_ptr<StreamService>(const std::string& name,
                                                                std::uint16_t port, StreamPort&)>;

// A request with a longer body is turned away with status 413, as vendors do.
inline constexpr std::uint64_t most_outlet_body = 32U << 20U;

std::unique_ptr<StreamService> make_handed_out_http1(const WebShared& shared,
                                                     const Connection& connection,
                                                     const TlsFacts* tls, StreamPort& port,
                                                     Outlet& outlet, OpenTunnel open_tunnel);

}  // namespace gyges::network
