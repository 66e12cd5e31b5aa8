// What a TLS ClientHello says in the clear: for connections that are relayed without being read.
// Bounded: the first 16 KiB of the handshake, over any number of records. Values; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gyges::network {

struct ClientHello {
  std::string sni;       // canonical; empty when there is none or it is no host name
  bool bad_sni = false;  // there was one, and it is none that parse_host() takes
  std::vector<std::string> alpn;
  std::string version;  // the highest offered: "1.3"; empty when none is known
  bool ech = false;     // an encrypted ClientHello hides the true name
};

enum class HelloState { need_more, whole, not_tls };

// `bytes` is everything that the client has sent so far.
HelloState read_client_hello(std::string_view bytes, ClientHello& hello);

inline constexpr std::size_t most_hello_bytes = 16384;

}  // namespace gyges::network
