#include "sandbox/network/gateway/interception.h"

namespace gyges::network {

Interception::Interception(StreamPort& port, const TlsTrust& trust, const std::string& host,
                           bool strict, std::unique_ptr<NameGuard> guard, RelayedHttp& http,
                           Outside outside)
    : port_(port),
      strict_(strict),
      guard_(std::move(guard)),
      http_(http),
      outside_(std::move(outside)) {
  TlsClient::Events events;
  events.to_server = outside_.to_server;
  events.plain = [this](std::string_view bytes) {
    outside_.received(bytes);
    http_.response(bytes, port_.now_ns());
    port_.send(bytes);
  };
  events.opened = [this] {
    std::string first = std::move(held_);
    held_.clear();
    if (!first.empty()) http_.passed();
    client_->send(first);
    if (ended_) client_->end();
    port_.pause(false);
  };
  events.ended = [this] {
    http_.server_ended(port_.now_ns());
    port_.close();
  };
  events.failed = outside_.refuse;
  client_ = std::make_unique<TlsClient>(trust, host, std::move(events));
  outside_.is(this);
  // A server may speak first, so it is dialled now; the client is read once it is known who that
  // is.
  port_.pause(true);
  outside_.dial();
  client_->start();
}

Interception::~Interception() {
  outside_.is(nullptr);
}

void Interception::received(std::string_view bytes) {
  outside_.sent(bytes);
  std::string_view ready = bytes;
  if (guard_) {
    std::string_view judged = guard_->feed(bytes);
    if (strict_) ready = judged;
    if (!guard_->refusal().empty()) {
      if (strict_) return outside_.refuse(guard_->refusal());
      guard_.reset();  // no HTTP, or not any more: it goes on unread
    }
  }
  if (!client_->is_open()) {
    held_ += ready;
    return;
  }
  if (!ready.empty()) http_.passed();
  client_->send(ready);
}

void Interception::ended() {
  ended_ = true;
  if (!client_->is_open()) return;
  client_->end();
  outside_.end_server();
}

}  // namespace gyges::network
