#include "sandbox/network/netlink_batch.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gyges::network {

void NetlinkBatch::finish_message() {
  if (!open_message_) return;
  auto size = static_cast<std::uint32_t>(bytes_.size() - message_);
  std::memcpy(bytes_.data() + message_, &size, sizeof(size));
  open_message_ = false;
}

void NetlinkBatch::begin(std::uint16_t type, std::uint16_t flags, std::string_view header,
                         std::string words, bool silent) {
  finish_message();
  message_ = bytes_.size();
  open_message_ = true;
  nlmsghdr message{};
  message.nlmsg_type = type;
  message.nlmsg_flags =
      static_cast<std::uint16_t>(NLM_F_REQUEST | flags | (silent ? 0 : NLM_F_ACK));
  message.nlmsg_seq = ++sequence_;
  bytes_ += bytes_of(message);
  raw(header);
  if (!silent) requests_.push_back({sequence_, std::move(words)});
}

void NetlinkBatch::raw(std::string_view bytes) {
  bytes_ += bytes;
  bytes_.resize(NLMSG_ALIGN(bytes_.size()), '\0');
}

void NetlinkBatch::attribute(std::uint16_t type, std::string_view value) {
  nlattr header{static_cast<std::uint16_t>(NLA_HDRLEN + value.size()), type};
  bytes_ += bytes_of(header);
  raw(value);
}

void NetlinkBatch::attribute_u32(std::uint16_t type, std::uint32_t value) {
  attribute(type, bytes_of(value));
}

void NetlinkBatch::attribute_be32(std::uint16_t type, std::uint32_t value) {
  attribute_u32(type, htonl(value));
}

void NetlinkBatch::attribute_text(std::uint16_t type, std::string_view text) {
  attribute(type, std::string(text) + '\0');
}

void NetlinkBatch::open(std::uint16_t type) {
  nests_.push_back(bytes_.size());
  nlattr header{0, static_cast<std::uint16_t>(type | NLA_F_NESTED)};
  bytes_ += bytes_of(header);
}

void NetlinkBatch::close() {
  auto size = static_cast<std::uint16_t>(bytes_.size() - nests_.back());
  std::memcpy(bytes_.data() + nests_.back(), &size, sizeof(size));
  nests_.pop_back();
}

Status NetlinkBatch::send(int socket) {
  finish_message();
  timeval patience{10, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket, bytes_.data(), bytes_.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
               sizeof(kernel)) < 0)
    return fail_errno("configure network", "");
  std::size_t answered = 0;
  std::vector<char> buffer(32768);
  while (answered < requests_.size()) {
    ssize_t n = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("configure network", "");
    auto left = static_cast<std::size_t>(n);
    for (auto* at = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(at, left);
         at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type != NLMSG_ERROR) continue;
      int code = static_cast<nlmsgerr*>(NLMSG_DATA(at))->error;
      auto request = std::find_if(requests_.begin(), requests_.end(), [&](const Request& known) {
        return known.sequence == at->nlmsg_seq;
      });
      if (code != 0)
        return fail_errno(request == requests_.end() ? "configure network" : request->words, "",
                          -code);
      if (request != requests_.end()) ++answered;
    }
  }
  requests_.clear();
  bytes_.clear();
  return ok();
}

}  // namespace gyges::network
