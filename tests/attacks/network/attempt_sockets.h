// Sockets of the attack programs, with outcomes as words: "worked", "timeout", the name of an
// errno.
#pragma once

#include <sys/socket.h>

#include <string>

namespace attempts {

std::string word(int code);

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};
Address address(const char* text, int port);

// Whether the socket becomes ready for `events` in time and without an error.
std::string within(int fd, short events, int milliseconds);

// Within 700 ms; `fd` is the caller's, and non-blocking.
std::string open_tcp(const char* text, int port, int& fd);

// `attempts load|many|hold|body|post|extensions|datagrams|spray ...`; false: other arguments.
bool wear_down(int argc, char** argv);
// `attempts routes|words TOKEN`; false: other arguments.
bool try_oddities(int argc, char** argv);
// `attempts packets|questions TOKEN`; false: other arguments.
bool try_edges(int argc, char** argv);

}  // namespace attempts
