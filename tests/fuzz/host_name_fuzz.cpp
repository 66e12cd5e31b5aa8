// Host names, authorities and URLs: what is taken is its own spelling.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sandbox/network/names/host_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges::network;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Host host;
  if (parse_host(bytes, host) == HostFault::none) {
    Host again;
    if (parse_host(host.text, again) != HostFault::none || !(again == host)) std::abort();
    for (char c : host.text)
      if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
        std::abort();
  }
  (void)parse_authority(bytes);
  if (auto url = parse_url(bytes); url && url->target[0] != '/') std::abort();
  (void)canonical_host_pattern(bytes);
  return 0;
}
