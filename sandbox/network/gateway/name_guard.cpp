#include "sandbox/network/gateway/name_guard.h"

#include <algorithm>

#include "sandbox/network/tls/client_hello.h"

namespace gyges::network {
namespace {

constexpr std::size_t longest_method = 32;

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
  if (std::find(known.begin(), known.end(), name) != known.end()) return true;
  refuse(std::string(what) + " is no name that was looked up for this address");
  return false;
}

std::string_view NameGuard::feed(std::string_view bytes) {
  if (!refusal_.empty()) return {};
  if (kind_ == Kind::tls) return bytes;
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
    events.fault = [this](const RequestReader::Fault& fault) {
      refuse("not every program would read the request alike: " + fault.reason);
    };
    reader_ = std::make_unique<RequestReader>(std::move(events));
    std::string first = std::move(held_);
    held_.clear();
    return read_requests(first);
  }
  sni_ = hello.sni;
  if (hello.ech) return refuse("an encrypted ClientHello hides the name");
  if (hello.bad_sni || hello.sni.empty()) return refuse("TLS names no server");
  if (!may_mean(hello.sni, "the name in TLS")) return {};
  kind_ = Kind::tls;
  passed_ = std::move(held_);
  held_.clear();
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
  if (head.method == "CONNECT") {
    refuse("CONNECT would hide what comes next");
    return;
  }
  if (!head.header("Upgrade").empty()) {
    refuse("an upgrade would hide what comes next");
    return;
  }
  const Authority& authority = head.authority;
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
