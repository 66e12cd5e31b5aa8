#include "sandbox/network/dns/message.h"

#include <gtest/gtest.h>

#include <random>

namespace gyges::network::dns {
namespace {

using namespace std::string_literals;

std::string header(unsigned flags, unsigned questions, unsigned answers = 0, unsigned extra = 0) {
  std::string bytes = "\x12\x34"s;
  for (unsigned value : {flags, questions, answers, 0U, extra}) {
    bytes += static_cast<char>(value >> 8U);
    bytes += static_cast<char>(value & 0xffU);
  }
  return bytes;
}

const std::string example = "\7ExAmple\3org\0"s;
const std::string type_a = "\0\1\0\1"s;

TEST(DnsQuery, KeepsTheCaseOfTheQuestionInTheAnswer) {
  std::string packet = header(0x0100, 1) + example + type_a;
  Query query;
  ASSERT_EQ(parse_query(packet, query), QueryFault::none);
  EXPECT_EQ(query.question.name, "example.org");
  Answer answer;
  answer.answers.push_back(address_record("example.org", parse_address("192.0.2.1").value(), 60));
  std::string response = write_response(query, answer, 512);
  EXPECT_EQ(response.substr(12, example.size()), example);
  auto parsed = parse_message(response);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->id, 0x1234);
  EXPECT_TRUE(parsed->is_response());
  ASSERT_EQ(parsed->answers.size(), 1U);
  EXPECT_EQ(parsed->answers[0].text(), "192.0.2.1");
  EXPECT_EQ(parsed->answers[0].ttl, 60U);
}

TEST(DnsQuery, RefusesWhatIsMalformed) {
  struct Row {
    const char* what;
    std::string packet;
    QueryFault fault;
  };
  std::string question = example + type_a;
  std::string deep;
  for (int i = 0; i < 130; ++i) deep += "\1a"s;
  const Row rows[] = {
      {"nothing", "", QueryFault::ignore},
      {"half a header", "\x12\x34\1"s, QueryFault::ignore},
      {"a response", header(0x8000, 1) + question, QueryFault::ignore},
      {"an update", header(0x2800, 1) + question, QueryFault::not_implemented},
      {"no question", header(0x0100, 0), QueryFault::format_error},
      {"two questions", header(0x0100, 2) + question + question, QueryFault::format_error},
      {"a question cut short", header(0x0100, 1) + example, QueryFault::format_error},
      {"trailing bytes", header(0x0100, 1) + question + "x", QueryFault::format_error},
      {"a pointer in the question", header(0x0100, 1) + "\xc0\x0c"s + type_a,
       QueryFault::format_error},
      {"a label type that is reserved", header(0x0100, 1) + "\x41"s + "a\0"s + type_a,
       QueryFault::format_error},
      {"a name over 255 bytes", header(0x0100, 1) + deep + "\0"s + type_a,
       QueryFault::format_error},
      {"EDNS 1", header(0x0100, 1, 0, 1) + question + "\0\0\x29\x10\0\0\1\0\0\0\0"s,
       QueryFault::bad_version},
      {"two OPT records",
       header(0x0100, 1, 0, 2) + question + "\0\0\x29\x10\0\0\0\0\0\0\0"s +
           "\0\0\x29\x10\0\0\0\0\0\0\0"s,
       QueryFault::format_error},
      {"records that are not there", header(0x0100, 1, 0, 500) + question,
       QueryFault::format_error},
  };
  for (const Row& row : rows) {
    Query query;
    EXPECT_EQ(parse_query(row.packet, query), row.fault) << row.what;
    auto response = write_fault(row.packet, row.fault);
    EXPECT_EQ(response.has_value(), row.fault != QueryFault::ignore) << row.what;
    if (response) {
      EXPECT_TRUE(parse_message(*response)) << row.what;
    }
  }
}

TEST(DnsMessage, PointersGoBackwardsOnly) {
  // Answer name points at itself, and forward.
  std::string record_tail = "\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"s;
  std::string base = header(0x8000, 1, 1) + example + type_a;
  std::size_t at = base.size();
  auto pointer = [](std::size_t target) {
    return std::string{static_cast<char>(0xc0U | target >> 8U), static_cast<char>(target & 0xffU)};
  };
  EXPECT_TRUE(parse_message(base + pointer(12) + record_tail));
  EXPECT_FALSE(parse_message(base + pointer(at) + record_tail));
  EXPECT_FALSE(parse_message(base + pointer(at + 2) + record_tail));
  EXPECT_FALSE(parse_message(base + pointer(4) + record_tail));  // into the header
  // Two that point at each other: the second may not point past its own start.
  EXPECT_FALSE(parse_message(base + "\1a"s + pointer(at) + record_tail));
}

TEST(DnsMessage, NamesInDataAreUnpackedWithinTheirRecord) {
  std::string base = header(0x8000, 1, 1) + example + "\0\x0f\0\1"s;
  auto with = [&](const std::string& data) {
    return base + "\xc0\x0c"s + "\0\x0f\0\1\0\0\0\1\0"s + static_cast<char>(data.size()) + data;
  };
  auto good = parse_message(with("\0\x0a\2mx\xc0\x0c"s));
  ASSERT_TRUE(good);
  EXPECT_EQ(good->answers[0].text(), "10 mx.example.org");
  EXPECT_FALSE(parse_message(with("\0\x0a\7mx"s)));  // runs out of its record
  EXPECT_FALSE(parse_message(with("\0"s)));
}

TEST(DnsMessage, OddLabelsHaveOneText) {
  std::string name = "\3a.b\1\\\2\0\xff\0"s;
  Query query;
  std::string packet = header(0x0100, 1) + name + type_a;
  ASSERT_EQ(parse_query(packet, query), QueryFault::none);
  EXPECT_EQ(query.question.name, "a\\046b.\\092.\\000\\255");
  EXPECT_EQ(encode_name(query.question.name), name);
}

TEST(DnsResponse, IsCutAtTheLimitAndSaysSo) {
  Query query;
  std::string packet = write_query(7, "example.org", Type::txt).value();
  ASSERT_EQ(parse_query(packet, query), QueryFault::none);
  EXPECT_EQ(udp_limit(query), edns_udp_limit);
  Answer answer;
  for (int i = 0; i < 20; ++i)
    answer.answers.push_back(txt_record("example.org", std::string(100, 'a'), 60).value());
  std::string response = write_response(query, answer, 512);
  EXPECT_LE(response.size(), 512U);
  auto parsed = parse_message(response);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->truncated());
  EXPECT_TRUE(parsed->edns);
  EXPECT_EQ(parsed->answers.size(), 4U);
  auto whole = parse_message(write_response(query, answer, longest_message));
  EXPECT_FALSE(whole->truncated());
  EXPECT_EQ(whole->answers.size(), 20U);
  EXPECT_EQ(whole->answers[0].text(), std::string(100, 'a'));
}

TEST(DnsStreamFramer, TakesMessagesInAnyPieces) {
  std::string one = write_query(1, "a.example", Type::a).value();
  std::string two = write_query(2, "b.example", Type::aaaa).value();
  std::string stream = StreamFramer::frame(one) + StreamFramer::frame(two);
  for (std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}, stream.size()}) {
    StreamFramer framer;
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < stream.size(); at += piece)
      ASSERT_TRUE(framer.feed(std::string_view(stream).substr(at, piece),
                              [&](std::string_view message) { seen.emplace_back(message); }));
    EXPECT_EQ(seen, (std::vector<std::string>{one, two}));
    EXPECT_TRUE(framer.empty());
  }
  StreamFramer framer;
  EXPECT_FALSE(framer.feed("\0\3abc"s, [](std::string_view) {}));
}

TEST(DnsMessage, RandomBytesDoNoHarm) {
  std::mt19937 random(5);
  std::string base = write_query(1, "a.example", Type::a).value();
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = base;
    for (int change = 0; change < 4; ++change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 1));
    (void)parse_message(bytes);
    Query query;
    QueryFault fault = parse_query(bytes, query);
    if (fault == QueryFault::none) {
      EXPECT_TRUE(parse_message(write_response(query, {}, 512)));
    }
  }
}

}  // namespace
}  // namespace gyges::network::dns
