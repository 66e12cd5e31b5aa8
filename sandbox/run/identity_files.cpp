#include "sandbox/run/identity_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace gyges::run {
namespace {

bool has_own_etc(const isolation::Policy& policy) {
  const auto& mounts = policy.filesystem.mounts;
  return std::any_of(mounts.begin(), mounts.end(), [](const isolation::Mount& mount) {
    return mount.target == "/etc" && mount.kind == isolation::Mount::Kind::fresh;
  });
}

}  // namespace

std::vector<isolation::SeedFile> identity_files(const isolation::Policy& policy) {
  if (!has_own_etc(policy)) return {};
  const isolation::Identity& identity = policy.identity;
  std::vector<isolation::SeedFile> files;
  auto add = [&](const char* path, std::string content) {
    isolation::SeedFile file;
    file.path = path;
    file.content = std::move(content);
    file.agent_owned = false;
    files.push_back(std::move(file));
  };
  add("/etc/passwd", fmt::format("root:x:0:0:root:/root:/bin/bash\n{0}:x:{1}:{2}::{3}:/bin/bash\n"
                                 "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
                                 identity.user, identity.uid, identity.gid, identity.home));
  add("/etc/group",
      fmt::format("root:x:0:\n{}:x:{}:\nnogroup:x:65534:\n", identity.user, identity.gid));
  add("/etc/hostname", identity.hostname + "\n");
  add("/etc/hosts", fmt::format("127.0.0.1\tlocalhost{}\n::1\tlocalhost\n",
                                identity.hostname == "localhost" ? "" : " " + identity.hostname));
  add("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
  return files;
}

void add_resolver_file(const isolation::Policy& policy, std::vector<isolation::SeedFile>& files) {
  const network::NetworkPolicy& network = policy.network;
  if (network.mode == network::NetworkPolicy::Mode::none) return;
  if (!has_own_etc(policy)) return;
  if (std::any_of(files.begin(), files.end(),
                  [](const auto& file) { return file.path == "/etc/resolv.conf"; }))
    return;
  isolation::SeedFile file;
  file.path = "/etc/resolv.conf";
  file.agent_owned = false;
  if (!network.search.empty())
    file.content = fmt::format("search {}\n", fmt::join(network.search, " "));
  for (const network::IpAddress& address : network.resolvers)
    file.content += fmt::format("nameserver {}\n", network::to_string(address));
  if (network.resolvers.empty())
    file.content += fmt::format("nameserver {}\n", network::to_string(network.interface.gateway));
  files.push_back(std::move(file));
}

}  // namespace gyges::run
