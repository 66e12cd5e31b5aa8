#include "sandbox/network/tls/client_hello.h"

#include <cstdint>

#include "sandbox/network/names/host_name.h"

namespace gyges::network {
namespace {

constexpr std::uint8_t record_handshake = 22;
constexpr std::uint8_t message_client_hello = 1;
constexpr std::uint16_t extension_server_name = 0;
constexpr std::uint16_t extension_alpn = 16;
constexpr std::uint16_t extension_supported_versions = 43;
constexpr std::uint16_t extension_ech = 0xfe0d;
constexpr std::size_t most_protocols = 16;

// A cursor that once past the end stays there.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}
  std::uint32_t number(std::size_t size) {
    std::uint32_t value = 0;
    for (char c : take(size)) value = value << 8U | static_cast<std::uint8_t>(c);
    return value;
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    std::string_view part = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return part;
  }
  Cursor block(std::size_t length_size) {
    std::size_t size = number(length_size);
    Cursor inner(take(size));
    inner.good_ = good_;
    return inner;
  }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool more() const { return good_ && !bytes_.empty(); }
  [[nodiscard]] std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

std::string version_name(std::uint32_t version) {
  switch (version) {
    case 0x0300:
      return "3.0";
    case 0x0301:
      return "1.0";
    case 0x0302:
      return "1.1";
    case 0x0303:
      return "1.2";
    case 0x0304:
      return "1.3";
    default:
      return {};
  }
}

bool read_server_name(Cursor extension, ClientHello& hello) {
  Cursor list = extension.block(2);
  while (list.more()) {
    std::uint32_t type = list.number(1);
    std::string_view name = list.block(2).rest();
    if (!list.good()) return false;
    if (type != 0) continue;
    // Two names could be read differently by two servers.
    Host host;
    if (!hello.sni.empty() || hello.bad_sni || parse_host(name, host) != HostFault::none ||
        host.address) {
      hello.bad_sni = true;
      hello.sni.clear();
    } else {
      hello.sni = host.text;
    }
  }
  return list.good();
}

bool read_extensions(Cursor extensions, ClientHello& hello) {
  bool named = false;
  while (extensions.more()) {
    std::uint32_t type = extensions.number(2);
    Cursor content = extensions.block(2);
    if (!extensions.good()) return false;
    if (type == extension_server_name) {
      if (named || !read_server_name(content, hello)) return false;
      named = true;
    } else if (type == extension_alpn) {
      Cursor list = content.block(2);
      while (list.more() && hello.alpn.size() < most_protocols)
        hello.alpn.emplace_back(list.block(1).rest());
      if (!list.good()) return false;
    } else if (type == extension_supported_versions) {
      Cursor list = content.block(1);
      std::uint32_t best = 0;
      while (list.more()) {
        std::uint32_t version = list.number(2);
        if (!version_name(version).empty() && version > best) best = version;
      }
      if (!list.good()) return false;
      if (best != 0) hello.version = version_name(best);
    } else if (type == extension_ech) {
      hello.ech = true;
    }
  }
  return extensions.good();
}

}  // namespace

bool looks_like_tls(std::string_view bytes) {
  if (bytes.size() < 4) return false;
  auto byte = [bytes](std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); };
  if (byte(0) == record_handshake) return byte(1) == 3;
  return (byte(0) & 0x80U) != 0 && byte(2) == message_client_hello && byte(3) <= 3;
}

HelloState read_client_hello(std::string_view bytes, ClientHello& hello) {
  hello = {};
  std::string message;
  std::size_t wanted = 4;
  while (message.size() < wanted) {
    if (!bytes.empty() && static_cast<std::uint8_t>(bytes[0]) != record_handshake)
      return HelloState::not_tls;
    if (bytes.size() > 1 && bytes[1] != 3) return HelloState::not_tls;
    if (bytes.size() < 5) return HelloState::need_more;
    std::size_t size = static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[3])) << 8U |
                       static_cast<std::uint8_t>(bytes[4]);
    if (size == 0 || size > most_hello_bytes) return HelloState::not_tls;
    message += bytes.substr(5, size);
    if (!message.empty() && message[0] != message_client_hello) return HelloState::not_tls;
    if (message.size() >= 4) {
      wanted = 4 + Cursor(std::string_view(message).substr(1)).number(3);
      if (wanted > most_hello_bytes) return HelloState::not_tls;
    }
    if (bytes.size() < 5 + size) return HelloState::need_more;
    bytes.remove_prefix(5 + size);
    hello.bytes += 5 + size;
  }
  Cursor body(std::string_view(message).substr(4, wanted - 4));
  hello.alone = message.size() == wanted;
  hello.version = version_name(body.number(2));
  body.take(32);
  body.block(1);
  body.block(2);
  body.block(1);
  if (!body.good()) return HelloState::not_tls;
  if (!body.more()) return HelloState::whole;
  Cursor extensions = body.block(2);
  if (!body.good() || !read_extensions(extensions, hello)) return HelloState::not_tls;
  return HelloState::whole;
}

}  // namespace gyges::network
