// The listening sockets of the persona's system bus: pid 1 makes them, as systemd does, so that
// whoever connects is told that it did (SO_PEERCRED).
#pragma once

#include <cstdint>

namespace gyges::init {

// Listens at both paths, whose directories have to be there and stay as old as they are, and offers
// the sockets to the supervisor in this order, which need not answer. Both or none: -1 with errno.
// `seconds`: how old they look, since 1970.
int offer_bus_sockets(const char* bus, const char* manager, std::int64_t seconds);

}  // namespace gyges::init
