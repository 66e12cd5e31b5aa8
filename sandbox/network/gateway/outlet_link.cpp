#include "sandbox/network/gateway/outlet_link.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace gyges::network {

OutletLink::OutletLink(UniqueFd socket, std::function<void(std::uint32_t)> watch)
    : socket_(std::move(socket)), watch_(std::move(watch)) {
  update();
}

std::uint64_t OutletLink::open(const OutletRequest& request, OutletListener& listener) {
  if (gone_ || exchanges_.size() >= most_exchanges) return 0;
  std::string head = encode_request(request);
  if (head.size() > most_frame_bytes) return 0;
  std::uint64_t exchange = ++next_;
  exchanges_[exchange].listener = &listener;
  send(FrameKind::head, exchange, head);
  return exchange;
}

bool OutletLink::body(std::uint64_t exchange, std::string_view bytes) {
  if (gone_) return true;
  while (!bytes.empty()) {
    send(FrameKind::body, exchange, bytes.substr(0, most_body_piece));
    bytes.remove_prefix(std::min(bytes.size(), most_body_piece));
  }
  if (out_.size() - sent_ < most_waiting) return true;
  paused_.insert(exchange);
  return false;
}

void OutletLink::end(std::uint64_t exchange) {
  send(FrameKind::end, exchange, {});
}

void OutletLink::close(std::uint64_t exchange) {
  auto found = exchanges_.find(exchange);
  if (found == exchanges_.end()) return;
  if (!found->second.over) send(FrameKind::abort, exchange, {});
  exchanges_.erase(exchange);
  paused_.erase(exchange);
}

void OutletLink::took(std::uint64_t exchange, std::size_t bytes) {
  auto found = exchanges_.find(exchange);
  if (found == exchanges_.end() || found->second.over) return;
  send(FrameKind::more, exchange, encode_more(bytes));
}

void OutletLink::send(FrameKind kind, std::uint64_t exchange, std::string_view bytes) {
  if (gone_) return;
  append_frame(out_, kind, exchange, bytes);
  flush();
}

void OutletLink::flush() {
  while (sent_ < out_.size()) {
    ssize_t n = ::send(socket_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) gone_ = true;  // noticed by events(), not inside a listener
    if (n <= 0) break;
    sent_ += static_cast<std::size_t>(n);
  }
  if (gone_ || sent_ == out_.size()) {
    out_.clear();
    if (out_.capacity() > most_waiting) out_.shrink_to_fit();
    sent_ = 0;
  }
  update();
}

void OutletLink::update() {
  std::uint32_t wanted = 0;
  if (!gone_) wanted |= EPOLLIN;
  if (!gone_ && sent_ < out_.size()) wanted |= EPOLLOUT;
  if (wanted == watched_) return;
  watched_ = wanted;
  watch_(wanted);
}

bool OutletLink::events(std::uint32_t events) {
  if (!gone_ && (events & EPOLLOUT) != 0) flush();
  if (!gone_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
  if (gone_) {
    fail_all();
    return false;
  }
  if (out_.size() - sent_ >= most_waiting / 2) return true;
  for (std::uint64_t exchange : std::exchange(paused_, {}))
    if (auto found = exchanges_.find(exchange); found != exchanges_.end())
      found->second.listener->outlet_ready();
  return true;
}

void OutletLink::read() {
  static std::array<char, 65536> buffer;
  ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    gone_ = true;
    return;
  }
  reader_.feed({buffer.data(), static_cast<std::size_t>(n)});
  for (;;) {
    auto frame = reader_.next();
    if (!frame) {
      gone_ = true;
      return;
    }
    if (!*frame) return;
    take(**frame);
  }
}

void OutletLink::take(const Frame& frame) {
  auto found = exchanges_.find(frame.exchange);
  if (found == exchanges_.end() || found->second.over) return;  // was closed here meanwhile
  Exchange& exchange = found->second;
  OutletListener& listener = *exchange.listener;
  auto broken = [&] {
    exchange.over = true;
    listener.answer_failed();
  };
  switch (frame.kind) {
    case FrameKind::head: {
      auto response = decode_response(frame.bytes);
      if (!response || exchange.headed) return broken();
      exchange.headed = true;
      return listener.answered(std::move(*response));
    }
    case FrameKind::body:
      if (!exchange.headed) return broken();
      return listener.answer_body(frame.bytes);
    case FrameKind::end:
      if (!exchange.headed) return broken();
      exchange.over = true;
      return listener.answer_ended();
    case FrameKind::abort:
    case FrameKind::more:  // requests have no window
      return broken();
  }
}

void OutletLink::fail_all() {
  for (bool again = true; again;) {
    again = false;
    for (auto& [number, exchange] : exchanges_) {
      if (exchange.over) continue;
      exchange.over = true;
      exchange.listener->answer_failed();  // may close it, and others
      again = true;
      break;
    }
  }
}

}  // namespace gyges::network
