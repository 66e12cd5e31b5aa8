#include "sandbox/network/offload.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::network {
namespace {

constexpr std::string_view feature = "tx-udp-segmentation";
constexpr unsigned bits_of_block = 32;

bool ask(int socket, const char* interface, void* request) {
  ifreq wrapped{};
  std::strncpy(wrapped.ifr_name, interface, sizeof(wrapped.ifr_name) - 1);
  wrapped.ifr_data = static_cast<char*>(request);
  return ::ioctl(socket, SIOCETHTOOL, &wrapped) == 0;
}

// Its number, which differs from kernel to kernel, and of how many.
struct Place {
  unsigned index = 0;
  unsigned count = 0;
};

Result<Place> find_feature(int socket, const char* interface) {
  // struct ethtool_sset_info with one count behind it.
  struct {
    std::uint32_t command = ETHTOOL_GSSET_INFO;
    std::uint32_t reserved = 0;
    std::uint64_t sets = 1ULL << ETH_SS_FEATURES;
    std::uint32_t count = 0;
  } sets;
  if (!ask(socket, interface, &sets)) return fail_errno("count features of interface", interface);
  // struct ethtool_gstrings with the names behind it.
  const std::array<std::uint32_t, 3> head{ETHTOOL_GSTRINGS, ETH_SS_FEATURES, sets.count};
  std::string bytes(sizeof(head) + std::size_t{sets.count} * ETH_GSTRING_LEN, '\0');
  std::memcpy(bytes.data(), head.data(), sizeof(head));
  if (!ask(socket, interface, bytes.data()))
    return fail_errno("list features of interface", interface);
  for (unsigned i = 0; i < sets.count; ++i)
    if (std::string_view(bytes.data() + sizeof(head) + std::size_t{i} * ETH_GSTRING_LEN) == feature)
      return Place{i, sets.count};
  return Place{};
}

}  // namespace

Status cut_datagrams(int socket, const char* interface) {
  static const Result<Place> found = find_feature(socket, interface);  // of the running kernel
  if (!found) return tl::unexpected<Error>(found.error());
  if (found->count == 0) return ok();
  const std::size_t blocks = (found->count + bits_of_block - 1) / bits_of_block;
  std::vector<std::uint32_t> request(2 + 2 * blocks);  // ethtool_sfeatures: pairs valid, requested
  request[0] = ETHTOOL_SFEATURES;
  request[1] = static_cast<std::uint32_t>(blocks);
  request[2 + 2 * (found->index / bits_of_block)] = 1U << (found->index % bits_of_block);
  if (!ask(socket, interface, request.data()))
    return fail_errno("have datagrams cut at interface", interface);
  return ok();
}

}  // namespace gyges::network
