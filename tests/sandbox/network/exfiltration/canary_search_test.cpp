#include "sandbox/network/exfiltration/canary_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <zlib.h>
#include <zstd.h>

#include <chrono>
#include <random>

namespace gyges::network {
namespace {

const std::string token = "Zx9+Kq/7vPd2LmW4";

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  int size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                               reinterpret_cast<const unsigned char*>(bytes.data()),
                               static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string hex(std::string_view bytes, const char* format) {
  std::string out;
  for (unsigned char c : bytes) {
    char digits[8];
    std::snprintf(digits, sizeof digits, format, c);
    out += digits;
  }
  return out;
}

std::string deflated(std::string_view bytes, int window_bits) {
  z_stream stream{};
  ::deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(bytes.size() + 200, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view bytes) {
  std::string out(::ZSTD_compressBound(bytes.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

std::string noise(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

std::vector<std::string> encodings(const CanarySet& set, std::string_view bytes,
                                   std::size_t piece = 0) {
  CanaryStream stream(set, "test");
  std::vector<CanaryHit> hits;
  if (piece == 0) piece = bytes.size();
  for (std::size_t at = 0; at < bytes.size(); at += piece)
    stream.feed(bytes.substr(at, piece), hits);
  std::vector<std::string> list;
  for (const CanaryHit& hit : hits) {
    EXPECT_EQ(hit.canary, "key");
    EXPECT_EQ(hit.place, "test");
    EXPECT_TRUE(hit.evidence.starts_with("at byte ")) << hit.evidence;
    EXPECT_LT(hit.evidence.size(), 2000U);
    list.push_back(hit.encoding);
  }
  return list;
}

class CanarySearch : public ::testing::Test {
 protected:
  CanarySet set = CanarySet::compile({{"key", token}, {"other", "absent-from-all-of-it"}}).value();

  void expect(const std::string& text, const std::string& encoding) {
    for (std::size_t piece : {std::size_t{0}, std::size_t{1}, std::size_t{5}})
      EXPECT_THAT(encodings(set, text, piece), ::testing::Contains(encoding))
          << "in pieces of " << piece;
  }
};

TEST_F(CanarySearch, FindsEverySpelling) {
  expect("a=" + token + "&", "plain");
  expect("x" + std::string(token.rbegin(), token.rend()), "reversed");
  std::string lower = token;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  expect(lower, "lower case");
  for (std::size_t before = 0; before < 3; ++before) {
    std::string encoded = base64(std::string(before, '?') + token + "tail");
    expect(encoded, "base64");
    for (char& c : encoded) c = c == '+' ? '-' : c == '/' ? '_' : c;
    // Where neither of the two digits occurs the alphabets are the same.
    bool same = encoded.find_first_of("-_") == std::string::npos;
    expect(encoded, same ? "base64" : "base64url");
  }
  expect(hex(token, "%02x"), "hex");
  expect(hex(token, "%02X"), "hex");
  expect("q=" + hex(token, "%%%02X"), "percent-encoded, plain");
  expect("q=" + hex(base64(token), "%%%02x"), "percent-encoded, base64");
  expect("q=Zx9%2BKq%2F7vPd2LmW4", "percent-encoded, plain");
}

TEST_F(CanarySearch, TellsTheTwoAlphabetsOfBase64Apart) {
  const std::string odd = "?\?>>?\?>>~~?\?";
  set = CanarySet::compile({{"key", odd}}).value();
  std::string encoded = base64(odd);
  ASSERT_NE(encoded.find_first_of("+/"), std::string::npos);
  expect(encoded, "base64");
  for (char& c : encoded) c = c == '+' ? '-' : c == '/' ? '_' : c;
  expect(encoded, "base64url");
}

TEST_F(CanarySearch, FindsBase32) {
  // printf '.Zx9+Kq/7vPd2LmW4' | base32, without the padding
  expect("FZNHQOJLJNYS6N3WKBSDETDNK42A", "base32");
  expect("fznhqojljnys6n3wkbsdetdnk42a", "base32");
}

TEST_F(CanarySearch, LooksIntoCompressedData) {
  std::string text = "user data " + noise(300, 1) + token + noise(300, 2);
  expect(deflated(text, 15 + 16), "gzip, plain");
  expect(deflated(text, 15), "zlib, plain");
  expect(deflated(text, -15), "deflate, plain");
  expect(zstd(text), "zstd, plain");
  expect("POST / HTTP/1.1\r\n\r\n" + deflated(text, 15 + 16), "gzip, plain");
  expect(deflated("first", 15 + 16) + deflated(base64(token + "x"), 15 + 16), "gzip, base64");
  expect(noise(5000, 3) + zstd(text) + noise(100, 4), "zstd, plain");
}

// What dumps, mail and JSON put between the digits of an encoded text.
TEST_F(CanarySearch, LooksPastSeparators) {
  expect("Zx9+Kq\r\n/7vPd2LmW4", "with separators, plain");
  expect("Z x 9 + K q / 7 v P d 2 L m W 4", "with separators, plain");
  expect(hex(token, "%02x "), "with separators, hex");
  expect(hex(token, "%02X:"), "with separators, hex");
  expect(hex(token, "\\x%02x"), "with separators, hex");
  expect(hex(token, "0x%02x, "), "with separators, hex");
  expect(hex(token, "\\u00%02x"), "with separators, hex");
  expect(hex(token, "%u, "), "with separators, decimal");
  std::string lines = base64(token + "?");
  expect(lines.substr(0, 9) + "\r\n" + lines.substr(9), "with separators, base64");
  expect("\"" + lines.substr(0, 9) + "\\n" + lines.substr(9) + "\"", "with separators, base64");
  // A wrapped quotation of something else is none.
  EXPECT_TRUE(encodings(set, "Zx9+Kq\r\n/7vPd2LmW5").empty());
}

TEST_F(CanarySearch, LooksIntoBase64) {
  std::string text = "user data " + noise(300, 1) + token + noise(300, 2);
  expect("q=" + base64(base64("?" + token)), "base64, base64");
  expect("\"" + base64(deflated(text, 15 + 16)) + "\"", "base64, gzip, plain");
  expect(" " + base64(deflated(text, 15)), "base64, zlib, plain");
  std::string wrapped = base64(zstd(text));
  for (std::size_t at = 76; at < wrapped.size(); at += 77) wrapped.insert(at, 1, '\n');
  expect(wrapped, "base64, zstd, plain");
  expect(base64(hex(token, "%02x")), "base64, hex");
  // In a text that is not looked into otherwise, such as a URL.
  std::vector<CanaryHit> hits;
  find_canaries(set, "/a?q=" + base64(deflated(text, 15 + 16)), "url", hits);
  ASSERT_FALSE(hits.empty());
  EXPECT_EQ(hits.back().encoding, "base64, gzip, plain");
}

TEST_F(CanarySearch, ReadsOtherSpellings) {
  expect("Mk9+Xd/7iCq2YzJ4", "rot13");
  std::string wide;
  for (char c : token) wide.append({c, '\0'});
  expect(wide, "utf-16");
  expect(std::string(1, '\0') + wide, "utf-16");
  expect(base64(wide), "base64, utf-16");
  expect("q=" + hex(hex(token, "%%%02x"), "%%%02x"), "percent-encoded twice, plain");
}

TEST_F(CanarySearch, LooksIntoZipArchives) {
  auto member = [](const std::string& name, const std::string& text) {
    std::string head = std::string("PK\x03\x04\x14\0\0\0\x08\0", 10) + std::string(16, '\0');
    head += static_cast<char>(name.size());
    head += std::string(1, '\0') + std::string("\x05\0", 2);
    return head + name + "extra" + deflated(text, -15);
  };
  std::string archive = member("one", noise(300, 5)) + member("two", "the key is " + token);
  expect(archive, "zip, plain");
  expect("--boundary\r\n\r\n" + archive, "zip, plain");
}

TEST_F(CanarySearch, ManyShortRunsOfBase64CostLittle) {
  std::string text;
  while (text.size() < 8U << 20U) text += "abcdefghijklmnop ";
  auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(encodings(set, text).empty());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(CanarySearch, ACompressedBombCostsItsFirstMegabytesOnly) {
  std::string zeros(64U << 20U, '\0');
  std::string bomb(1U << 20U, '\0');
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
  stream.avail_in = static_cast<uInt>(zeros.size());
  stream.next_out = reinterpret_cast<Bytef*>(bomb.data());
  stream.avail_out = static_cast<uInt>(bomb.size());
  ASSERT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  bomb.resize(stream.total_out);
  ::deflateEnd(&stream);
  CanaryStream search(set, "test");
  std::vector<CanaryHit> hits;
  search.feed(bomb, hits);
  search.feed(token, hits);  // the search goes on
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].encoding, "plain");
}

TEST_F(CanarySearch, AHitIsReportedOnceAndSaysWhere) {
  CanaryStream stream(set, "tcp stream");
  std::vector<CanaryHit> hits;
  stream.feed("0123456789" + token.substr(0, 4), hits);
  stream.feed(token.substr(4) + "\x1b[0m rest " + token, hits);
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].place, "tcp stream");
  EXPECT_EQ(hits[0].evidence, "at byte 10: 0123456789" + token + "\\x1b[0m res");
}

TEST_F(CanarySearch, PiecesToOnePlaceAreOneText) {
  SplitCanaries split(set);
  std::vector<CanaryHit> hits;
  for (std::size_t at = 0; at < token.size(); at += 4) {
    split.feed("a.example", token.substr(at, 4), "http requests", hits);
    split.feed("a.example", token.substr(at, 4), "http requests", hits);  // sent again
    split.feed("b.example", "zzz", "http requests", hits);
  }
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].encoding, "split, plain");
  EXPECT_EQ(hits[0].evidence, "over pieces to a.example: " + token);
}

TEST_F(CanarySearch, RandomDataHoldsNone) {
  // Shortest tokens, the worst case. 8 MiB as bytes, base64 text and hex text.
  auto shortest = CanarySet::compile({{"a", "q8Zr1LxT"}, {"b", "93kd0sPw"}}).value();
  std::vector<CanaryHit> hits;
  std::string bytes = noise(8U << 20U, 9);
  for (std::string_view view : {std::string_view(bytes)}) {
    find_canaries(shortest, view, "random", hits);
    find_canaries(shortest, base64(view), "random", hits);
  }
  find_canaries(shortest, hex(bytes.substr(0, 1U << 20U), "%02x"), "random", hits);
  EXPECT_TRUE(hits.empty()) << hits[0].encoding << " " << hits[0].evidence;
}

TEST(CanarySet, RefusesTokensThatCannotBeTold) {
  EXPECT_FALSE(CanarySet::compile({{"a", "short"}}));
  EXPECT_FALSE(CanarySet::compile({{"a", std::string(129, 'x')}}));
  EXPECT_FALSE(CanarySet::compile({{"a", "12345678"}, {"a", "abcdefgh"}}));
  EXPECT_FALSE(CanarySet::compile(std::vector<Canary>(65, {"a", "12345678"})));
  auto none = CanarySet::compile({});
  ASSERT_TRUE(none);
  std::vector<CanaryHit> hits;
  find_canaries(*none, "12345678", "x", hits);
  EXPECT_TRUE(hits.empty());
}

TEST(CanarySet, ATokenMayHaveAnyBytes) {
  std::string every;
  for (int c = 0; c < 128; ++c) every += static_cast<char>(c + 128);
  auto set =
      CanarySet::compile({{"key", every}, {"low", std::string("\0\1\2\3\4\5\6\7\x8\x9", 10)}})
          .value();
  std::vector<CanaryHit> hits;
  find_canaries(set, "x" + every + "y", "x", hits);
  EXPECT_EQ(hits.size(), 1U);
}

}  // namespace
}  // namespace gyges::network
