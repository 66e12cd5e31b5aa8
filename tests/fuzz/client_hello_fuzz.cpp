// The start of a TLS connection of a stranger: a prefix never says more than the whole.
#include <cstdint>
#include <cstdlib>

#include "sandbox/network/names/host_name.h"
#include "sandbox/network/tls/client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges::network;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ClientHello hello;
  HelloState whole = read_client_hello(bytes, hello);
  if (whole == HelloState::whole && !hello.sni.empty()) {
    Host host;
    if (parse_host(hello.sni, host) != HostFault::none || host.text != hello.sni) std::abort();
  }
  ClientHello part;
  HelloState half = read_client_hello(bytes.substr(0, size / 2), part);
  if (half != HelloState::need_more && half != whole) std::abort();
  return 0;
}
