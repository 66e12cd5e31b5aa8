// What answers for a system bus, spoken to by well-behaved clients and by hostile ones. Each
// hostile one has a well-behaved one after it, which has to be answered.
#include "sandbox/isolation/bus_door.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sandbox/bus/client.h"
#include "sandbox/bus/message.h"
#include "sandbox/bus/names.h"

namespace gyges::isolation {
namespace {

using bus::row;
using nlohmann::json;

json small_document() {
  json document = {
      {"bus_id", std::string(32, 'a')},
      {"machine_id", std::string(32, 'b')},
      {"names",
       row(json{{"name", "org.freedesktop.systemd1"}, {"owner", ":1.1"}, {"uid", 0}, {"pid", 1}})},
      {"activatable", json::array()},
      {"units", json::array()},
      {"unit_files", json::array()},
      {"aliases", json::object()},
      {"sessions", json::array()},
      {"users", json::array()},
      {"seats", json::array()},
      {"time_zones", json::array()},
      {"host_description", json::object()},
      {"default_target", "graphical.target"}};
  json& unit = document["objects"]["/org/freedesktop/systemd1/unit/cron_2eservice"];
  unit["name"] = "org.freedesktop.systemd1";
  unit["interfaces"]["org.freedesktop.systemd1.Unit"]["ActiveState"] = row("s", "active");
  document["absent"]["org.freedesktop.systemd1.Unit"]["ActiveState"] = row("s", "inactive");
  if (::geteuid() != 0) document["peer_uid"] = ::geteuid();
  return document;
}

// "31303030" for 1000.
std::string hex_of(const std::string& text) {
  std::string hex;
  for (const char c : text) {
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4U];
    hex += "0123456789abcdef"[static_cast<unsigned char>(c) & 15U];
  }
  return hex;
}

class SystemBus : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/gyges-bus-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    std::vector<UniqueFd> sockets;
    for (const char* file : {"bus", "private"}) sockets.push_back(listen_at(file));
    auto door = BusDoor::open(std::move(sockets), [] { return small_document().dump(); });
    ASSERT_TRUE(door) << door.error().line();
    door_ = std::move(*door);
  }
  void TearDown() override {
    door_.reset();
    for (const char* file : {"bus", "private"}) ::unlink((directory_ + "/" + file).c_str());
    ::rmdir(directory_.c_str());
  }

  sockaddr_un address_of(const char* file) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (directory_ + "/" + file).c_str());
    return address;
  }
  UniqueFd listen_at(const char* file) const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un address = address_of(file);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(fd.get(), 128), 0);
    return fd;
  }
  UniqueFd connect(const char* file = "bus", int flags = 0) const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    const sockaddr_un address = address_of(file);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
      fd.reset();
    return fd;
  }
  static void say(const UniqueFd& fd, const std::string& bytes) {
    (void)!::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // What comes within five seconds, up to `wanted`; "" and `ended` where it ends.
  static std::string hear(const UniqueFd& fd, const std::string& wanted, bool* ended = nullptr) {
    std::string heard;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (std::chrono::steady_clock::now() < until) {
      pollfd wait{fd.get(), POLLIN, 0};
      if (::poll(&wait, 1, 100) <= 0) continue;
      char piece[4096];
      const ssize_t n = ::recv(fd.get(), piece, sizeof(piece), 0);
      if (n <= 0) {
        if (ended != nullptr) *ended = true;
        break;
      }
      heard.append(piece, static_cast<std::size_t>(n));
      if (!wanted.empty() && heard.find(wanted) != std::string::npos) break;
    }
    return heard;
  }
  static std::string bytes_of(const bus::Message& message) {
    static std::uint32_t serial = 0;
    dbus_message_set_serial(message.get(), ++serial);
    char* bytes = nullptr;
    int length = 0;
    EXPECT_NE(dbus_message_marshal(message.get(), &bytes, &length), 0);
    std::string all(bytes, static_cast<std::size_t>(length));
    dbus_free(bytes);
    return all;
  }
  static std::string call(const char* service, const char* path, const char* interface,
                          const char* member, const std::string& types = "",
                          const json& values = json::array()) {
    bus::Message message(dbus_message_new_method_call(service, path, interface, member));
    EXPECT_TRUE(bus::append(*message, types, values));
    return bytes_of(message);
  }
  static std::string login() {
    return std::string(1, '\0') + "AUTH EXTERNAL " + hex_of(std::to_string(::geteuid())) +
           "\r\nBEGIN\r\n";
  }
  static std::string hello() {
    return call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello");
  }
  static std::string state_of(const char* unit) {
    return call("org.freedesktop.systemd1",
                (std::string("/org/freedesktop/systemd1/unit/") + unit).c_str(),
                "org.freedesktop.DBus.Properties", "Get", "ss",
                row("org.freedesktop.systemd1.Unit", "ActiveState"));
  }
  void expect_service() const {
    const UniqueFd client = connect();
    ASSERT_TRUE(client);
    say(client, login() + hello() + state_of("cron_2eservice"));
    const std::string heard = hear(client, "active");
    EXPECT_NE(heard.find("active"), std::string::npos);
  }

  std::string directory_;
  std::unique_ptr<BusDoor> door_;
};

TEST_F(SystemBus, TellsWhatTheDocumentSays) {
  expect_service();
  const UniqueFd client = connect();
  say(client, login() + hello() + state_of("nothing_2eservice"));
  EXPECT_NE(hear(client, "inactive").find("inactive"), std::string::npos);
}

TEST_F(SystemBus, TheManagersSocketTakesNoHello) {
  const UniqueFd client = connect("private");
  say(client, login() + state_of("cron_2eservice"));
  EXPECT_NE(hear(client, "active").find("active"), std::string::npos);
  const UniqueFd other = connect("bus");
  say(other, login() + state_of("cron_2eservice"));
  EXPECT_NE(hear(other, "AccessDenied").find("AccessDenied"), std::string::npos);
}

TEST_F(SystemBus, NobodyIsTakenForAnotherUser) {
  const UniqueFd client = connect();
  say(client, std::string(1, '\0') + "AUTH EXTERNAL " + hex_of("4711") + "\r\n");
  EXPECT_NE(hear(client, "REJECTED").find("REJECTED EXTERNAL\r\n"), std::string::npos);
  say(client, "AUTH EXTERNAL " + hex_of(std::to_string(::geteuid())) + "\r\n");
  EXPECT_NE(hear(client, "OK").find("OK aaaa"), std::string::npos);
}

TEST_F(SystemBus, WhatIsNoDBusEndsTheConnection) {
  std::string long_header = call("org.freedesktop.DBus", "/", "a.b", "c");
  const std::uint32_t huge = 100U << 20U;
  std::memcpy(long_header.data() + 4, &huge, sizeof(huge));
  const std::string garbage[] = {"GET / HTTP/1.0\r\n\r\n",
                                 std::string(1, '\0') + std::string(5000, 'A'),
                                 std::string(1, '\0') + "BEGIN\r\n",
                                 login() + std::string(64, 'x'),
                                 login() + long_header,
                                 login() + hello().substr(0, 20) + std::string(200, '\xff')};
  for (const std::string& bytes : garbage) {
    const UniqueFd client = connect();
    say(client, bytes);
    bool ended = false;
    hear(client, "", &ended);
    EXPECT_TRUE(ended) << bytes.substr(0, 30);
  }
  expect_service();
}

TEST_F(SystemBus, EveryByteOfAMessageCanBeAnother) {
  const std::string good = state_of("cron_2eservice");
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bytes = good;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x55);
    const UniqueFd client = connect();
    ASSERT_TRUE(client);
    say(client, login() + hello() + bytes);
    ::shutdown(client.get(), SHUT_WR);
  }
  expect_service();
}

TEST_F(SystemBus, HalfAMessageKeepsNobodyWaiting) {
  std::vector<UniqueFd> halves;
  for (int i = 0; i < 20; ++i) {
    halves.push_back(connect());
    say(halves.back(), login() + hello() + state_of("cron_2eservice").substr(0, 50));
  }
  expect_service();
}

TEST_F(SystemBus, WhoDoesNotReadIsNotHeardAnyMore) {
  const UniqueFd deaf = connect("bus", SOCK_NONBLOCK);
  say(deaf, login() + hello());
  std::string many;
  for (int i = 0; i < 200; ++i) many += state_of("cron_2eservice");
  // At most 64 MiB; it is full long before that, at both ends.
  std::size_t sent = 0;
  bool full = false;
  for (int rounds = 0; rounds < 4000 && !full; ++rounds) {
    const ssize_t n = ::send(deaf.get(), many.data(), many.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
      // What is cut off here goes on next time as garbage, which ends the connection as well.
      if (static_cast<std::size_t>(n) < many.size()) many.erase(0, static_cast<std::size_t>(n));
      continue;
    }
    pollfd wait{deaf.get(), POLLOUT, 0};
    full = errno != EAGAIN || ::poll(&wait, 1, 2000) == 0;
  }
  EXPECT_TRUE(full) << sent;
  expect_service();
}

TEST_F(SystemBus, ACrowdIsServedOneAfterTheOther) {
  std::vector<UniqueFd> crowd;
  for (int i = 0; i < 400; ++i) {
    UniqueFd client = connect("bus", SOCK_NONBLOCK);
    if (client) crowd.push_back(std::move(client));
  }
  EXPECT_GT(crowd.size(), 100U);
  crowd.clear();
  expect_service();
}

}  // namespace
}  // namespace gyges::isolation
