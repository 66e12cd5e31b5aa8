// What leaves on the host while a program of network tests runs: nothing. Every packet from or to
// a documentation address (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32) that an
// interface of the host's namespace sees fails the test during which it was seen. Linked in by
// gyges_test(... CAPTURED).
//
// Only root may look. For programs that run as an ordinary user root opens the socket first and
// hands it on (tests/host_capture_main.cpp, tests/as_user.sh).
#pragma once

#include <string>
#include <vector>

namespace gyges {

// The number of a socket that was handed on.
inline constexpr const char* host_capture_variable = "GYGES_HOST_CAPTURE";

// Of the network namespace that the calling thread is in; -1 and errno where it may not look.
int open_host_capture();

// What has been seen since the last call, a line for each packet; empty: nothing. Packets from or
// to an address of the host's own are left out: there are machines whose network has documentation
// addresses. The first call is made in the host's namespace.
std::string seen_by(int capture);
// The same where these are the host's own.
std::string seen_by(int capture, const std::vector<std::string>& own);

}  // namespace gyges
