// What a TLS ClientHello says in the clear: for connections that are relayed without being read.
// Bounded: the first 16 KiB of the handshake, over any number of records. Values; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::network {

struct ClientHello {
  std::string sni;       // canonical; empty when there is none or it is no host name
  bool bad_sni = false;  // there was one, and it is none that parse_host() takes
  std::vector<std::string> alpn;
  std::string version;    // the highest offered: "1.3"; empty when none is known
  bool ech = false;       // an encrypted ClientHello hides the true name
  std::size_t bytes = 0;  // up to the end of its last record
  bool alone = true;      // nothing else is in its records
};

// Whether a server might take the bytes, which read_client_hello() does not, for the beginning of
// TLS all the same: a record of any handshake, or the form of SSL 2.0, which OpenSSL still reads.
bool looks_like_tls(std::string_view bytes);

enum class HelloState { need_more, whole, not_tls };

// `bytes` is everything that the client has sent so far.
HelloState read_client_hello(std::string_view bytes, ClientHello& hello);

inline constexpr std::size_t most_hello_bytes = 16384;

}  // namespace gyges::network
