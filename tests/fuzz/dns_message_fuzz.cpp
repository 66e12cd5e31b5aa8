// DNS queries and answers of a stranger, as one message and as a stream.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sandbox/network/dns/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges::network::dns;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Query query;
  QueryFault fault = parse_query(bytes, query);
  if (fault == QueryFault::none) {
    // The name has one text, and an answer about it can be read.
    if (!encode_name(query.question.name)) std::abort();
    if (!parse_message(write_response(query, {}, plain_udp_limit))) std::abort();
  } else if (auto response = write_fault(bytes, fault); response && !parse_message(*response)) {
    std::abort();
  }
  if (auto message = parse_message(bytes)) {
    for (const auto* section : {&message->answers, &message->authority, &message->additional})
      for (const Record& record : *section) (void)record.text();
    Query other;
    std::string packet = write_query(1, "a.example", Type::any).value();
    if (parse_query(packet, other) != QueryFault::none) std::abort();
    Answer answer;
    answer.answers = message->answers;
    std::string written = write_response(other, answer, 4096);
    if (written.size() > 4096 || !parse_message(written)) std::abort();
  }
  StreamFramer framer;
  std::size_t half = size / 2;
  auto ignore = [](std::string_view) {};
  if (framer.feed(bytes.substr(0, half), ignore)) (void)framer.feed(bytes.substr(half), ignore);
  return 0;
}
