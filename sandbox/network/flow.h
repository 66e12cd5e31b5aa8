// One row of flows.jsonl: one attempt of the sandbox to reach something, or one exchange of a
// protocol inside it, with what became of it.
//
// A TCP connection gives one flow of protocol "tcp" when it ends (or when it was refused), and one
// for every DNS query, TLS handshake or HTTP exchange that was understood inside it, with the same
// `connection`. A UDP exchange gives one flow for each peer pair that fell silent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sandbox/network/address.h"

namespace gyges::network {

enum class FlowProtocol { tcp, udp, icmp, dns, tls, http, smtp, ntp, other };
std::string_view to_string(FlowProtocol protocol);

// What was decided.
enum class FlowVerdict { refused, simulated, relayed, sunk };
std::string_view to_string(FlowVerdict verdict);

// Bytes of a message: the first ones up to the policy's cap, with length and hash of the whole.
struct FlowBody {
  std::string head;
  std::uint64_t size = 0;
  std::string sha256;  // hex, of all `size` bytes; empty where the body did not end
};

struct HttpExchange {
  std::string version;  // "1.1", "2"
  std::string method;
  std::string url;  // absolute, as the client meant it
  std::vector<std::pair<std::string, std::string>> request_headers;
  FlowBody request_body;
  int status = 0;  // 0: no answer was given
  std::vector<std::pair<std::string, std::string>> response_headers;
  FlowBody response_body;
};

inline constexpr std::size_t longest_dns_message = 65535;

struct DnsExchange {
  std::string name;  // as asked, in presentation form
  std::string type;  // "A", "TXT", "TYPE65"
  std::string code;  // "NOERROR", "NXDOMAIN", ...
  std::vector<std::string> answers;
  // The messages themselves, without the length that TCP puts in front; empty where there was none
  // or it was longer than the policy's body_bytes.
  std::string query, response;
};

// A planted token that was found in what left.
struct CanaryHit {
  std::string canary;    // its name, never the token
  std::string encoding;  // "plain", "base64", ...
  std::string place;     // "http body", "dns name", ...
  std::string evidence;  // bytes around it, bounded
};

struct Flow {
  std::int64_t time_ns = 0;      // CLOCK_MONOTONIC, of the first packet
  std::int64_t duration_ns = 0;  // to the last one
  std::uint64_t connection = 0;  // the same for all flows of one TCP connection or UDP peer pair
  std::uint32_t socket =
      0;  // inode of the sandbox's socket, from its kernel; 0: it was gone already
  FlowProtocol protocol = FlowProtocol::tcp;
  Endpoint source;       // inside
  Endpoint destination;  // what the sandbox aimed at, never an address of the gateway
  std::string name;      // the name that the sandbox had looked up for this address; may be empty
  FlowVerdict verdict = FlowVerdict::refused;
  std::string rule;              // name of the rule that decided; "default" where none did
  std::string reason;            // why it was refused or cut short; empty where nothing went wrong
  Endpoint dialled;              // relayed: the address that was really dialled
  std::string sni;               // TLS server name
  std::string alpn;              // TLS protocol agreed on, or the first one offered
  std::string tls;               // version agreed on or offered, "1.3"
  std::uint64_t sent_bytes = 0;  // by the sandbox
  std::uint64_t received_bytes = 0;  // by the sandbox
  std::uint32_t attempts = 1;        // packets that repeated this attempt are counted, not listed
  std::optional<HttpExchange> http;
  std::optional<DnsExchange> dns;
  FlowBody sent;      // what was sent, for flows that no protocol explains
  FlowBody received;  // what was answered
  std::vector<CanaryHit> canaries;

  // Filled in by the supervisor, from the record of system calls; 0 and empty where unknown.
  std::uint32_t pid = 0;  // inside
  std::uint32_t tool_call = 0;
  std::string attribution;  // "exact", "likely", "ambiguous", "none"
};

// Between gateway and supervisor, both of one build. Decoding is bounded: the gateway reads hostile
// bytes and is not trusted; what is malformed is an error.
std::string encode_flow(const Flow& flow);
Result<Flow> decode_flow(std::string_view bytes);
inline constexpr std::size_t max_flow_bytes = 24U << 20U;

}  // namespace gyges::network
