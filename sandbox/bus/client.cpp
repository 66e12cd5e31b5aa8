#include "sandbox/bus/client.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace gyges::bus {
namespace {

constexpr std::size_t most_line_bytes = 1024;
constexpr std::size_t least_message_bytes = 16;  // its fixed part

// "31323037" is "1207".
std::string bytes_of_hex(std::string_view hex) {
  std::string bytes;
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const int letter = c | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    if (digit(hex[i]) < 0 || digit(hex[i + 1]) < 0) return {};
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  }
  return bytes;
}

}  // namespace

Client::Client(UniqueFd fd, Caller caller, std::string server)
    : fd_(std::move(fd)), caller_(std::move(caller)), server_(std::move(server)) {}

short Client::events() const {
  short wanted = 0;
  if (out_.size() < most_waiting_bytes) wanted |= POLLIN;
  if (!out_.empty()) wanted |= POLLOUT;
  return wanted;
}

bool Client::serve(short ready, const Answer& answer) {
  if ((ready & POLLOUT) != 0 && !write_some()) return false;
  if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_some()) return false;
  return take(answer) && write_some();
}

// Without room for control data: descriptors that a client sends are closed by the kernel.
bool Client::read_some() {
  if (in_.size() >= most_message_bytes) return true;
  std::array<char, 16384> piece;
  const ssize_t n = ::recv(fd_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  in_.append(piece.data(), static_cast<std::size_t>(n));
  return n > 0;
}

bool Client::take(const Answer& answer) {
  for (;;) {
    const std::size_t before = in_.size();
    if (out_.size() >= most_waiting_bytes) return true;
    if (state_ == State::messages ? !take_message(answer) : !take_line()) return false;
    if (in_.size() == before) return true;
  }
}

// The specification's "Authentication Protocol", with the one mechanism that a system bus has.
bool Client::take_line() {
  if (state_ == State::begin) {
    if (in_.empty()) return true;
    if (in_.front() != '\0') return false;
    in_.erase(0, 1);
    state_ = State::authenticating;
    return true;
  }
  const std::size_t end = in_.find("\r\n");
  if (end == std::string::npos) return in_.size() <= most_line_bytes;
  if (end > most_line_bytes) return false;
  const std::string line = in_.substr(0, end);
  in_.erase(0, end + 2);
  const std::size_t space = line.find(' ');
  const std::string word = line.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
  auto judge = [&](std::string_view identity) {
    if (identity.empty() || bytes_of_hex(identity) == std::to_string(caller_.uid)) {
      state_ = State::authenticated;
      out_ += "OK " + server_ + "\r\n";
    } else {
      out_ += "REJECTED EXTERNAL\r\n";
    }
  };
  if (state_ == State::authenticated) {
    if (word == "BEGIN") {
      state_ = State::messages;
    } else if (word == "NEGOTIATE_UNIX_FD") {
      out_ += "AGREE_UNIX_FD\r\n";
    } else {
      out_ += "ERROR\r\n";
    }
    return true;
  }
  if (word == "BEGIN") return false;
  if (word == "AUTH" && rest == "EXTERNAL") {
    asked_for_data_ = true;
    out_ += "DATA\r\n";
  } else if (word == "AUTH" && rest.starts_with("EXTERNAL ")) {
    judge(std::string_view(rest).substr(9));
  } else if (word == "DATA" && asked_for_data_) {
    asked_for_data_ = false;
    judge(rest);
  } else if (word == "AUTH" || word == "CANCEL" || word == "ERROR") {
    asked_for_data_ = false;
    out_ += "REJECTED EXTERNAL\r\n";
  } else {
    out_ += "ERROR\r\n";
  }
  return true;
}

bool Client::take_message(const Answer& answer) {
  if (in_.size() < least_message_bytes) return true;
  const int needed = dbus_message_demarshal_bytes_needed(in_.data(), static_cast<int>(in_.size()));
  if (needed < 0 || static_cast<std::size_t>(needed) > most_message_bytes) return false;
  if (needed == 0 || in_.size() < static_cast<std::size_t>(needed)) return true;
  const Message message(dbus_message_demarshal(in_.data(), needed, nullptr));
  in_.erase(0, static_cast<std::size_t>(needed));
  if (!message) return false;
  answer(*message, *this);
  return true;
}

void Client::send(DBusMessage& message) {
  dbus_message_set_serial(&message, ++serial_ == 0 ? ++serial_ : serial_);
  char* bytes = nullptr;
  int length = 0;
  if (dbus_message_marshal(&message, &bytes, &length) == 0) return;
  out_.append(bytes, static_cast<std::size_t>(length));
  dbus_free(bytes);
}

bool Client::write_some() {
  if (out_.empty()) return true;
  const ssize_t n = ::send(fd_.get(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  out_.erase(0, static_cast<std::size_t>(n));
  return true;
}

}  // namespace gyges::bus
