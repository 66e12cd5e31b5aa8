// The system bus: whether something answers where its socket is, and who listens there.
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {

// No further than the authentication, which a bus answers to everybody.
void read_bus(const Channel& channel) {
  const char* how = "connect(2), AUTH EXTERNAL";
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return say_error(channel, "answer", "socket(2)", errno);
  const timeval patience{3, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::strncpy(to.sun_path, channel.argument, sizeof(to.sun_path) - 1);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) {
    say_error(channel, "answer", how, errno);
    ::close(fd);
    return;
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
    Text text;
    text.add("pid=%d uid=%u", peer.pid, peer.uid);
    say(channel, "listener", "SO_PEERCRED", text.bytes);
  }
  char user[16];
  char line[64] = "_AUTH EXTERNAL ";
  std::snprintf(user, sizeof(user), "%u", ::geteuid());
  std::size_t length = std::strlen(line);
  for (const char* digit = user; *digit != '\0'; ++digit) {
    line[length++] = '3';  // an ASCII digit in hexadecimal
    line[length++] = *digit;
  }
  line[length++] = '\r';
  line[length++] = '\n';
  line[0] = '\0';  // where credentials once went
  char heard[64] = {};
  const ssize_t n =
      ::send(fd, line, length, MSG_NOSIGNAL) < 0 ? -1 : ::recv(fd, heard, sizeof(heard) - 1, 0);
  if (n < 0 && errno != EAGAIN) {
    say_error(channel, "answer", how, errno);
  } else {
    // Its first word: what follows is the bus's number.
    heard[std::strcspn(heard, " \r\n")] = '\0';
    say(channel, "answer", how, n < 0 ? "nothing" : n == 0 ? "end" : heard);
  }
  ::close(fd);
}

}  // namespace gyges::probe
