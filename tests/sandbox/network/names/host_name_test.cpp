#include "sandbox/network/names/host_name.h"

#include <gtest/gtest.h>

#include <string>

namespace gyges::network {
namespace {

using namespace std::string_literals;

struct Taken {
  std::string bytes, text;
  bool address;
};

TEST(ParseHost, TakesWhatHasOneMeaning) {
  const Taken rows[] = {
      {"example.org", "example.org", false},
      {"EXAMPLE.Org", "example.org", false},
      {"example.org.", "example.org", false},
      {"localhost", "localhost", false},
      {"a_b._tcp.example.org", "a_b._tcp.example.org", false},
      {"xn--bcher-kva.example", "xn--bcher-kva.example", false},
      {"XN--BCHER-KVA.example", "xn--bcher-kva.example", false},
      {"xn--wgv71a119e.example", "xn--wgv71a119e.example", false},  // 日本語
      {"r3---sn-4g5e6nsz.example", "r3---sn-4g5e6nsz.example", false},
      {"1.example", "1.example", false},
      {"0x7f.example", "0x7f.example", false},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7.", "192.0.2.7", true},
      {"[2001:DB8:0::1]", "2001:db8::1", true},
      {"2001:db8::1", "2001:db8::1", true},
      {"[::ffff:192.0.2.7]", "192.0.2.7", true},
      {"::ffff:c000:0207", "192.0.2.7", true},
      {std::string(63, 'a') + ".example", std::string(63, 'a') + ".example", false},
  };
  for (const Taken& row : rows) {
    Host host;
    ASSERT_EQ(parse_host(row.bytes, host), HostFault::none) << row.bytes;
    EXPECT_EQ(host.text, row.text);
    EXPECT_EQ(host.address.has_value(), row.address) << row.bytes;
    // What comes out is its own spelling.
    Host again;
    ASSERT_EQ(parse_host(host.text, again), HostFault::none);
    EXPECT_EQ(again, host);
  }
}

struct Refused {
  std::string bytes;
  HostFault fault;
};

TEST(ParseHost, RefusesWhatProgramsReadDifferently) {
  std::string long_name;
  for (int i = 0; i < 127; ++i) long_name += "a.";
  const Refused rows[] = {
      {"", HostFault::empty},
      {".", HostFault::label_empty},
      {"example..org", HostFault::label_empty},
      {".example.org", HostFault::label_empty},
      {"example.org..", HostFault::label_empty},
      {"example.org\0.evil.example"s, HostFault::bad_character},
      {"evil.example\0"s, HostFault::bad_character},
      {" example.org", HostFault::bad_character},
      {"example.org ", HostFault::bad_character},
      {"exa mple.org", HostFault::bad_character},
      {"example.org\r\n", HostFault::bad_character},
      {"example.org%00.evil.example", HostFault::bad_character},
      {"%65xample.org", HostFault::bad_character},
      {"user@example.org", HostFault::bad_character},
      {"example.org/", HostFault::bad_character},
      {"example.org\\", HostFault::bad_character},
      {"b\xc3\xbc"
       "cher.example",
       HostFault::non_ascii},
      {"example\xe3\x80\x82org", HostFault::non_ascii},  // an ideographic full stop
      {"\xff.example", HostFault::non_ascii},
      {"-a.example", HostFault::bad_hyphen},
      {"a-.example", HostFault::bad_hyphen},
      {"xn--.example", HostFault::bad_punycode},
      {"xn--google-.example", HostFault::bad_punycode},  // plain ASCII in disguise
      {"xn--99999999.example", HostFault::bad_punycode},
      {"xn--a_b.example", HostFault::bad_punycode},
      {std::string(64, 'a') + ".example", HostFault::label_too_long},
      {long_name + "aa", HostFault::too_long},
      {"0x7f.1", HostFault::odd_address},
      {"0x7f.0.0.0x1", HostFault::odd_address},
      {"2130706433", HostFault::odd_address},
      {"0x7f000001", HostFault::odd_address},
      {"0x", HostFault::odd_address},
      {"127.1", HostFault::odd_address},
      {"0177.0.0.1", HostFault::odd_address},
      {"192.0.2.007", HostFault::odd_address},
      {"192.0.2.256", HostFault::odd_address},
      {"192.0.2.7.8", HostFault::odd_address},
      {"example.123", HostFault::odd_address},
      {"[192.0.2.7]", HostFault::bad_address},
      {"[2001:db8::1", HostFault::bad_address},
      {"2001:db8::1]", HostFault::bad_address},
      {"[]", HostFault::bad_address},
      {"[", HostFault::bad_address},
      {"[2001:db8::1]x", HostFault::bad_address},
      {"2001:db8:::1", HostFault::bad_address},
      {"[2001:db8::1\0]"s, HostFault::bad_address},
      {"[fe80::1%eth0]", HostFault::zone},
      {"[fe80::1%25eth0]", HostFault::zone},
      {"fe80::1%1", HostFault::zone},
  };
  for (const Refused& row : rows) {
    Host host{"untouched", {}};
    HostFault fault = parse_host(row.bytes, host);
    EXPECT_EQ(fault, row.fault) << row.bytes << ": " << host_fault_text(fault);
    EXPECT_EQ(host.text, "untouched") << row.bytes;
  }
}

TEST(ParseHost, ErrorNamesTheBytesAndTheCure) {
  auto host = parse_host("a\x1b[31m.example");
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().object, "\"a\\x1b[31m.example\"");
  EXPECT_EQ(parse_host("0x7f.1").error().cure, "write the address as four decimal numbers");
}

TEST(ParseAuthority, SeparatesThePort) {
  auto plain = parse_authority("Example.org:8080");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->host.text, "example.org");
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(parse_authority("[2001:db8::1]:443")->port, 443);
  EXPECT_FALSE(parse_authority("[2001:db8::1]")->port);
  for (const char* bad : {"example.org:", "example.org:0", "example.org:65536", "example.org:+80",
                          "example.org:80:80", "user@example.org", "2001:db8::1", "[2001:db8::1]80",
                          "example.org:0x50", ":80", "", "[2001:db8::1]:80]:90"})
    EXPECT_FALSE(parse_authority(bad)) << bad;
}

TEST(ParseUrl, TakesAbsoluteUrls) {
  auto url = parse_url("HTTP://Example.org:81/a?b#c");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "http");
  EXPECT_EQ(url->authority.port, 81);
  EXPECT_EQ(url->target, "/a?b");
  EXPECT_EQ(parse_url("http://example.org")->target, "/");
  EXPECT_EQ(parse_url("http://example.org?x")->target, "/?x");
  for (const char* bad :
       {"http://a@b.example/", "http:///x", "//example.org/", "http://example.org\\@b/",
        "http://example.org/a b", "http://example.org/\r\nX: y", "1ttp://example.org/"})
    EXPECT_FALSE(parse_url(bad)) << bad;
}

TEST(CanonicalHostPattern, TakesNamesBelow) {
  EXPECT_EQ(canonical_host_pattern("*.Example.org.").value(), "*.example.org");
  EXPECT_EQ(canonical_host_pattern("Example.org.").value(), "example.org");
  for (const char* bad :
       {"", "*", "*.", "**.example", "a.*.example", "*.192.0.2.1", "*example.org"})
    EXPECT_FALSE(canonical_host_pattern(bad)) << bad;
}

}  // namespace
}  // namespace gyges::network
