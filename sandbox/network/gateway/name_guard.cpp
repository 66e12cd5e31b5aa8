#include "sandbox/network/gateway/name_guard.h"

#include <algorithm>

#include "sandbox/network/tls/client_hello.h"

namespace gyges::network {
namespace {

constexpr std::size_t longest_method = 32;
// Of TLS in search of a second ClientHello; early data may come before it.
constexpr std::uint64_t most_watched = 256U << 10U;
constexpr std::size_t record_head = 5;
constexpr std::uint8_t record_handshake = 22;

// Methods in use are upper case; everything else is some other protocol.
bool may_be_http(std::string_view first) {
  std::string_view method = first.substr(0, first.find(' '));
  return !method.empty() && method.size() <= longest_method &&
         std::all_of(method.begin(), method.end(),
                     [](char c) { return (c >= 'A' && c <= 'Z') || c == '-'; });
}

}  // namespace

NameGuard::NameGuard(const NetworkRule& rule, std::uint16_t port, Names names, Watch watch,
                     bool any_name)
    : rule_(rule),
      port_(port),
      names_(std::move(names)),
      any_name_(any_name),
      watch_(std::move(watch)) {}

std::string_view NameGuard::refuse(std::string reason) {
  if (refusal_.empty()) refusal_ = std::move(reason);
  held_.clear();
  return {};
}

bool NameGuard::may_mean(const std::string& name, const char* what) {
  if (any_name_) return true;
  bool allowed = std::any_of(rule_.domains.begin(), rule_.domains.end(),
                             [&](const auto& domain) { return domain_matches(domain, name); });
  if (!allowed) {
    refuse(std::string(what) + " is no name of the rule");
    return false;
  }
  auto known = names_();
  if (std::find(known.begin(), known.end(), name) != known.end()) {
    name_ = name;
    return true;
  }
  refuse(std::string(what) + " is no name that was looked up for this address");
  return false;
}

std::string_view NameGuard::feed(std::string_view bytes) {
  if (!refusal_.empty()) return {};
  if (kind_ == Kind::tls) return watched_ > most_watched ? bytes : watch_records(bytes);
  if (kind_ == Kind::http) return read_requests(bytes);
  held_ += bytes;
  return decide();
}

std::string_view NameGuard::decide() {
  if (held_.empty()) return {};
  ClientHello hello;
  HelloState state = read_client_hello(held_, hello);
  if (state == HelloState::need_more && held_.size() <= 2 * most_hello_bytes) return {};
  if (state != HelloState::whole) {
    if (!may_be_http(held_))
      return refuse("what the client says first is neither TLS nor HTTP; its name cannot be seen");
    kind_ = Kind::http;
    RequestReader::Events events;
    events.head = [this](RequestHead&& head) { check_request(std::move(head)); };
    events.body = [this](std::string_view part) { watch_.body(part); };
    events.end = [this] { request_ended_ = true; };
    events.trailer = watch_.trailer;
    events.extension = watch_.extension;
    events.fault = [this](const RequestReader::Fault& fault) {
      refuse("not every program would read the request alike: " + fault.reason);
    };
    reader_ = std::make_unique<RequestReader>(std::move(events));
    std::string first = std::move(held_);
    held_.clear();
    return read_requests(first);
  }
  sni_ = hello.sni;
  // Where TLS ends here nothing can be hidden, and browsers send a hollow one to everybody.
  if (hello.ech && !rule_.intercept) return refuse("an encrypted ClientHello hides the name");
  if (hello.bad_sni || hello.sni.empty()) return refuse("TLS names no server");
  if (!hello.alone) return refuse("more than a ClientHello is in its records");
  if (!may_mean(hello.sni, "the name in TLS")) return {};
  kind_ = Kind::tls;
  std::string all = std::move(held_);
  held_.clear();
  std::string rest(watch_records(std::string_view(all).substr(hello.bytes)));
  if (!refusal_.empty()) return {};
  passed_ = all.substr(0, hello.bytes) + rest;
  return passed_;
}

// Whether the handshake record at the start of held_ begins a ClientHello. Encrypted ones of
// TLS 1.2 look like anything, but not like one: that is six bytes.
bool NameGuard::is_other_hello() {
  auto byte = [this](std::size_t at) {
    return static_cast<std::size_t>(static_cast<std::uint8_t>(held_[record_head + at]));
  };
  constexpr std::size_t client_hello = 1;
  std::size_t size = byte(1) << 16U | byte(2) << 8U | byte(3);
  return byte(0) == client_hello && size <= most_hello_bytes && byte(4) == 3 && byte(5) <= 4;
}

std::string_view NameGuard::watch_records(std::string_view bytes) {
  watched_ += bytes.size();
  passed_.clear();
  for (;;) {
    if (rest_ > 0) {
      if (bytes.empty()) break;
      std::string_view part = bytes.substr(0, rest_);
      rest_ -= part.size();
      bytes.remove_prefix(part.size());
      passed_ += part;
      continue;
    }
    // As much as tells what it is: the record's head, of a handshake also the message's.
    std::size_t wanted = record_head;
    if (!held_.empty() && static_cast<std::uint8_t>(held_[0]) == record_handshake) wanted += 6;
    if (held_.size() < wanted) {
      if (bytes.empty()) break;
      std::string_view part = bytes.substr(0, held_.empty() ? 1 : wanted - held_.size());
      held_ += part;
      bytes.remove_prefix(part.size());
      continue;
    }
    std::size_t size = static_cast<std::size_t>(static_cast<std::uint8_t>(held_[3])) << 8U |
                       static_cast<std::uint8_t>(held_[4]);
    if (wanted > record_head && size < wanted - record_head)
      return refuse("a handshake in TLS comes in pieces too small to be read");
    if (wanted == record_head || !is_other_hello()) {
      rest_ = size + record_head - held_.size();
      passed_ += held_;
      held_.clear();
      continue;
    }
    held_ += bytes;
    bytes = {};
    ClientHello hello;
    HelloState state = read_client_hello(held_, hello);
    if (state == HelloState::need_more && held_.size() <= 2 * most_hello_bytes) break;
    if (state != HelloState::whole || hello.sni != sni_ || !hello.alone)
      return refuse("the second ClientHello names another server than the first");
    watched_ = most_watched + 1;  // there is no third
    passed_ += held_;
    held_.clear();
  }
  return passed_;
}

std::string_view NameGuard::read_requests(std::string_view bytes) {
  held_ += bytes;
  reader_->feed(bytes);
  while (request_ended_ && refusal_.empty()) {
    request_ended_ = false;
    reader_->next();
  }
  if (!refusal_.empty()) return {};
  // All but the beginning of a head, or of a line between chunks, that is not whole yet.
  std::size_t ready = held_.size() - std::min(held_.size(), reader_->held_bytes());
  passed_.assign(held_, 0, ready);
  held_.erase(0, ready);
  return passed_;
}

void NameGuard::check_request(RequestHead&& head) {
  if (!refusal_.empty()) return;
  judge(head);
  if (!refusal_.empty()) watch_.refused(head, refusal_);
}

void NameGuard::judge(const RequestHead& head) {
  bool hides = head.method == "CONNECT" || !head.header("Upgrade").empty();
  // What nobody judges goes on unread, and this is the last that is recorded of it.
  if (any_name_ && hides) (void)watch_.request(head);
  if (head.method == "CONNECT") {
    refuse("CONNECT would hide what comes next");
    return;
  }
  if (hides) {
    refuse("an upgrade would hide what comes next");
    return;
  }
  const Authority& authority = head.authority;
  if (any_name_) {
    if (!watch_.request(head)) refuse("too many requests wait for their answers");
    return;
  }
  if (authority.host.text.empty() || authority.host.address) {
    refuse("the request names no host");
    return;
  }
  if (authority.port && *authority.port != port_) {
    refuse("Host names another port");
    return;
  }
  if (may_mean(authority.host.text, "Host") && !watch_.request(head))
    refuse("too many requests wait for their answers");
}

}  // namespace gyges::network
