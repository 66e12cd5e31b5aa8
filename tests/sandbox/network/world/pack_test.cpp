#include "sandbox/network/world/pack.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "sandbox/network/world.h"
#include "tests/sandbox/network/scripted_ports.h"

namespace gyges::network {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class NoResolver : public Resolver {
  void resolve(std::string_view, bool, std::function<void(const Answer&)>) override {}
};

class PackTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory = TemporaryDirectory::create("gyges_pack").value();
  json internet = json::parse(R"({
    "sites": [{"host": "repo.example", "addresses": ["192.0.2.5"],
               "files": [{"at": "/git", "from": "repo"}]}],
    "services": [{"protocol": "smtp", "host": "repo.example"},
                 {"protocol": "banner", "host": "repo.example", "port": 22, "banner": "SSH-2.0-x\r\n"},
                 {"protocol": "ntp"}]})");
};

TEST_F(PackTest, WhatIsPackedIsServed) {
  std::filesystem::create_directories(directory.path() / "repo/info");
  ASSERT_TRUE(write_file_atomically(directory.path() / "repo/info/refs", "abc\trefs/heads/main\n"));
  std::filesystem::create_symlink("/etc/passwd", directory.path() / "repo/passwd");
  auto files = read_site_files(internet, directory.path(), "persona.json");
  ASSERT_TRUE(files) << files.error().line();
  EXPECT_EQ(files->size(), 1U);  // the link is not followed
  auto packed = pack_world({internet, *files, 7, 1'760'000'000, "Example"});
  ASSERT_TRUE(packed) << packed.error().line();
  EXPECT_THAT(packed->certificate_pem, StartsWith("-----BEGIN CERTIFICATE-----"));
  NetworkPolicy policy;
  NameTable names;
  NoResolver resolver;
  auto world = open_world(packed->bytes, {policy, names, resolver});
  ASSERT_TRUE(world) << world.error().line();
  auto at = [](const char* address, std::uint16_t port) {
    return Endpoint{parse_address(address).value(), port};
  };
  EXPECT_TRUE((*world)->listens(at("192.0.2.5", 80), ""));
  EXPECT_TRUE((*world)->listens(at("192.0.2.5", 443), ""));
  EXPECT_TRUE((*world)->listens(at("192.0.2.5", 22), ""));
  EXPECT_TRUE((*world)->listens(at("192.0.2.5", 25), ""));
  EXPECT_TRUE((*world)->listens(at("192.0.2.99", 53), ""));
  EXPECT_FALSE((*world)->listens(at("192.0.2.5", 8080), ""));
  EXPECT_FALSE((*world)->listens(at("192.0.2.6", 80), ""));
  EXPECT_NE((*world)->open_datagram({0, 0, {}, at("192.0.2.1", 123), ""}), nullptr);
  EXPECT_EQ((*world)->open_datagram({0, 0, {}, at("192.0.2.1", 124), ""}), nullptr);
  testing::ScriptedPort port;
  auto web = (*world)->open_stream({1, 0, {}, at("192.0.2.5", 80), "repo.example"}, port);
  ASSERT_TRUE(web);
  web->received("GET /git/info/refs HTTP/1.1\r\nHost: repo.example\r\n\r\n");
  EXPECT_THAT(port.sent, HasSubstr("abc\trefs/heads/main\n"));
  EXPECT_EQ((*world)->open_stream({1, 0, {}, at("192.0.2.6", 80), ""}, port), nullptr);
}

TEST_F(PackTest, FaultsNameTheirPlace) {
  auto missing = read_site_files(internet, directory.path(), "persona.json");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().line(), HasSubstr("persona.json at /internet/sites/0/files/0"));
  internet["sites"][0]["host"] = "0x7f.1";
  auto bad = pack_world({internet, {}, 7, 1'760'000'000, "Example"});
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().line(), HasSubstr("/internet/sites/0/host/0"));
  NetworkPolicy policy;
  NameTable names;
  NoResolver resolver;
  EXPECT_FALSE(open_world("damaged", {policy, names, resolver}));
  EXPECT_TRUE(open_world("", {policy, names, resolver}));
}

}  // namespace
}  // namespace gyges::network
