// DNS messages (RFC 1035, RFC 6891) from and to bytes. Hostile input: a compression pointer must
// point before the name that uses it, names end at 255 bytes and messages at 65535, counts are
// believed only as far as there are bytes.
//
// ldns and c-ares were considered: both parse answers only into structures of their own with one
// allocation a record, and neither writes answers from a world's data; what is needed of the format
// is below. A fuzz target (tests/fuzz/dns_message_fuzz.cpp) reads arbitrary bytes.
//
// Values; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/network/address.h"

namespace gyges::network::dns {

inline constexpr std::size_t longest_message = 65535;
inline constexpr std::size_t plain_udp_limit = 512;  // without EDNS
inline constexpr std::size_t edns_udp_limit = 1232;  // what this side sends at most over UDP
inline constexpr std::size_t header_bytes = 12;

enum class Type : std::uint16_t {
  a = 1,
  ns = 2,
  cname = 5,
  soa = 6,
  ptr = 12,
  mx = 15,
  txt = 16,
  aaaa = 28,
  srv = 33,
  opt = 41,
  svcb = 64,
  https = 65,
  ixfr = 251,
  axfr = 252,
  any = 255,
};
// "A", "AAAA", ..., "TYPE123".
std::string type_name(std::uint16_t type);
std::optional<std::uint16_t> type_number(std::string_view name);

enum class Rcode : std::uint8_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  no_such_name = 3,
  not_implemented = 4,
  refused = 5,
};
const char* rcode_name(Rcode rcode);

struct Question {
  // Lower case, without the last dot, "." for the root; a byte of a label that is a dot, a
  // backslash or not printable ASCII is \DDD, so that no two questions share a text.
  std::string name;
  std::uint16_t type = 0;
  std::uint16_t klass = 1;
  bool operator==(const Question&) const = default;
};

struct Record {
  std::string name;  // as in Question
  std::uint16_t type = 0;
  std::uint16_t klass = 1;
  std::uint32_t ttl = 0;  // seconds
  std::string data;       // wire form, names in it uncompressed

  // The address of an A or AAAA record; nothing otherwise.
  [[nodiscard]] std::optional<IpAddress> address() const;
  // The one name in a CNAME, NS or PTR record; empty otherwise.
  [[nodiscard]] std::string target() const;
  // For people and for flows.jsonl: "192.0.2.1", "10 mx.example.org", "\"text\"", a SOA as in a
  // zone file; else hex.
  [[nodiscard]] std::string text() const;
  bool operator==(const Record&) const = default;
};

Record address_record(std::string name, const IpAddress& address, std::uint32_t ttl);
// CNAME, NS, PTR. Nothing when `target` is no name that fits on the wire.
std::optional<Record> name_record(std::string name, Type type, std::string_view target,
                                  std::uint32_t ttl);
std::optional<Record> mx_record(std::string name, std::uint16_t preference,
                                std::string_view exchange, std::uint32_t ttl);
// Text is split into strings of 255 bytes. Nothing for more than 16 KiB.
std::optional<Record> txt_record(std::string name, std::string_view text, std::uint32_t ttl);
// `primary`, `mailbox`: names of its first server and of whom to write to.
std::optional<Record> soa_record(std::string zone, std::string_view primary,
                                 std::string_view mailbox, std::uint32_t serial, std::uint32_t ttl);

// Wire form of a name in the text form of Question; nothing when it does not fit.
std::optional<std::string> encode_name(std::string_view text);

struct Edns {
  std::uint16_t udp_size = plain_udp_limit;  // what the sender can receive
  std::uint8_t version = 0;
  bool dnssec_ok = false;
};

struct Message {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;  // as on the wire
  std::vector<Question> questions;
  std::vector<Record> answers, authority, additional;  // additional without OPT
  std::optional<Edns> edns;

  [[nodiscard]] bool is_response() const { return (flags & 0x8000U) != 0; }
  [[nodiscard]] bool truncated() const { return (flags & 0x0200U) != 0; }
  [[nodiscard]] Rcode rcode() const { return static_cast<Rcode>(flags & 0x0fU); }
};
// The whole message, or nothing. Trailing bytes are a fault.
std::optional<Message> parse_message(std::string_view bytes);

// A query as a server sees it. `question_bytes` points into the packet and keeps the asker's case,
// which comes back in the answer (resolvers check it).
struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  Question question;
  std::string_view question_bytes;
  std::optional<Edns> edns;
  std::size_t packet_bytes = 0;
};
enum class QueryFault {
  none,
  ignore,           // too short to answer, or itself an answer: replying could loop
  format_error,     // the header is good, the rest is not
  not_implemented,  // an opcode other than QUERY
  bad_version,      // EDNS beyond version 0
};
QueryFault parse_query(std::string_view packet, Query& query);

struct Answer {
  Rcode rcode = Rcode::no_error;
  bool authoritative = false;
  std::vector<Record> answers, authority;
};
// A response of at most `limit` bytes; what does not fit is left out and TC is set.
std::string write_response(const Query& query, const Answer& answer, std::size_t limit);
// The response to a query that could not be parsed; nothing for QueryFault::ignore.
std::optional<std::string> write_fault(std::string_view packet, QueryFault fault);
// What may be sent to the asker over UDP.
std::size_t udp_limit(const Query& query);

// A query of our own, for resolving names that are relayed.
std::optional<std::string> write_query(std::uint16_t id, std::string_view name, Type type);

// DNS over TCP: messages with a length of two bytes before them. Holds at most one message.
class StreamFramer {
 public:
  // Appends bytes; calls `message` for each whole one. False when the stream is not DNS: a length
  // below a header. The framer is then of no further use.
  template <class F>
  bool feed(std::string_view bytes, F&& message) {
    while (!bytes.empty() || ready()) {
      if (!take(bytes)) return false;
      if (!ready()) return true;
      message(std::string_view(buffer_).substr(2));
      buffer_.clear();
    }
    return true;
  }
  [[nodiscard]] bool empty() const { return buffer_.empty(); }
  // Of a message that is not whole, its length before it.
  [[nodiscard]] std::string_view begun() const { return buffer_; }
  static std::string frame(std::string_view message);

 private:
  bool take(std::string_view& bytes);
  [[nodiscard]] bool ready() const;
  std::string buffer_;
};

}  // namespace gyges::network::dns
