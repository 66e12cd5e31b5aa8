// Requests of a stranger: read in one piece and byte by byte they are the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sandbox/network/http/request_reader.h"

namespace {
using namespace gyges::network;

std::string read(std::string_view bytes, std::size_t piece) {
  std::string seen;
  bool ended = false;
  RequestReader reader({[&](RequestHead&& head) {
                          seen += "H" + head.method + " " + head.target + " " +
                                  head.authority.host.text + "\n";
                        },
                        [&](std::string_view body) { seen += body; },
                        [&] {
                          seen += "E\n";
                          ended = true;
                        },
                        [&](const RequestReader::Fault&) { seen += "F\n"; }});
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    for (int turns = 0; ended && turns < 1000; ++turns) {
      ended = false;
      reader.next();
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size > 4096 ? 4096 : size);
  if (read(bytes, bytes.size() + 1) != read(bytes, 1)) std::abort();
  return 0;
}
