#include "sandbox/cues/internet.h"

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/network/world/pack.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

const std::string store = "/etc/ssl/certs/";
constexpr char bundle_name[] = "ca-certificates.crt";
constexpr char own_name[] = "internal-root.pem";

Status render_strings(json& value, const TemplateContext& context, const std::string& place) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.find("{{") == std::string::npos) return ok();
    GYGES_TRY(value, render(text, context, place));
    return ok();
  }
  if (!value.is_structured()) return ok();
  for (auto& [key, child] : value.items())
    GYGES_CHECK(render_strings(child, context, place + "/" + key));
  return ok();
}

isolation::SeedFile root_file(std::string path, std::string content, std::int64_t mtime) {
  isolation::SeedFile file;
  file.path = std::move(path);
  file.content = std::move(content);
  file.agent_owned = false;
  file.mtime = mtime;
  return file;
}

// The host's authorities: links by name and by hash. Most lead to /usr/share/ca-certificates.
void copy_host_store(std::vector<isolation::SeedFile>& files, std::int64_t installed) {
  std::error_code error;
  for (auto at = std::filesystem::directory_iterator(store, error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    std::error_code unreadable;
    std::filesystem::path target = std::filesystem::read_symlink(at->path(), unreadable);
    if (unreadable) continue;
    files.push_back(root_file(at->path().string(), target.string(), installed));
    files.back().kind = isolation::SeedFile::Kind::symlink;
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
}

// The directory alone becomes a fresh one: what lies around it stays the host's.
void make_room_for_store(isolation::Policy& policy) {
  using isolation::Mount;
  auto& mounts = policy.filesystem.mounts;
  const std::string directory = store.substr(0, store.size() - 1);
  auto below = [](const std::string& path, const std::string& above) {
    return path == above || path.starts_with(above == "/" ? above : above + "/");
  };
  const Mount* deepest = nullptr;
  for (const Mount& mount : mounts)
    if (below(directory, mount.target) &&
        (deepest == nullptr || mount.target.size() > deepest->target.size()))
      deepest = &mount;
  if (deepest != nullptr && deepest->kind == Mount::Kind::fresh) return;
  Mount fresh;
  fresh.kind = Mount::Kind::fresh;
  fresh.target = directory;
  fresh.agent_owned = false;
  std::erase_if(mounts, [&](const Mount& mount) { return below(mount.target, directory); });
  mounts.push_back(std::move(fresh));
}

// The network of a persona is the /24 around its address, behind the first address of it.
Status take_address(const Persona& persona, network::NetworkInterface& interface) {
  const network::NetworkInterface usual = network::default_interface();
  if (interface.address != usual.address || interface.subnet != usual.subnet) return ok();
  auto parsed = network::parse_address(persona.address);
  if (!parsed || parsed->v6 || network::scope_of(*parsed) == network::AddressScope::loopback)
    return ok();
  interface.address = *parsed;
  interface.subnet = {*parsed, 24};
  interface.subnet.address.bytes[3] = 0;
  interface.gateway = interface.subnet.address;
  interface.gateway.bytes[3] = parsed->bytes[3] == 1 ? 2 : 1;
  interface.has_v6 = false;  // the persona has no such address
  return ok();
}

// The persona's resolv.conf names nobody: it gets the resolvers of the policy, or the gateway.
void name_resolvers(const network::NetworkPolicy& network,
                    std::vector<isolation::SeedFile>& files) {
  for (isolation::SeedFile& file : files) {
    if (file.path != "/etc/resolv.conf") continue;
    for (const network::IpAddress& address : network.resolvers)
      file.content += "nameserver " + network::to_string(address) + "\n";
    if (network.resolvers.empty())
      file.content += "nameserver " + network::to_string(network.interface.gateway) + "\n";
  }
}

}  // namespace

Result<PreparedInternet> prepare_internet(const Persona& persona, const TemplateContext& context) {
  PreparedInternet prepared;
  if (persona.internet.empty()) return prepared;
  GYGES_TRY(json internet, parse_json(persona.internet, persona.name));
  GYGES_CHECK(render_strings(internet, context, persona.name + " at /internet"));
  GYGES_TRY(network::PackedWorld packed,
            network::pack_world({internet, persona.internet_files, context.seed, context.day,
                                 persona.company.empty() ? persona.name : persona.company}));
  prepared.packed = std::move(packed.bytes);
  // As update-ca-certificates leaves it: the certificate, its link by hash, which OpenSSL and
  // Python look for, and the bundle, which curl, git and wget read.
  const std::int64_t installed = context.day - 86400LL * 417 + 41233;
  copy_host_store(prepared.trust_store, installed);
  prepared.trust_store.push_back(
      root_file(store + own_name, packed.certificate_pem, installed + 40));
  auto link = root_file(store + packed.certificate_hash + ".0", own_name, installed + 40);
  link.kind = isolation::SeedFile::Kind::symlink;
  prepared.trust_store.push_back(std::move(link));
  std::string bundle;
  if (auto host = read_file(store + bundle_name)) bundle = std::move(*host);
  prepared.trust_store.push_back(
      root_file(store + bundle_name, bundle + packed.certificate_pem, installed + 41));
  return prepared;
}

Status apply_internet(const PreparedInternet& internet, const Persona& persona,
                      isolation::Policy& policy, std::vector<isolation::SeedFile>& files) {
  network::NetworkPolicy& network = policy.network;
  if (network.mode != network::NetworkPolicy::Mode::gateway) return ok();
  GYGES_CHECK(take_address(persona, network.interface));
  if (persona.nameservers.empty()) name_resolvers(network, files);
  if (internet.trust_store.empty()) return ok();
  make_room_for_store(policy);
  files.insert(files.end(), internet.trust_store.begin(), internet.trust_store.end());
  return ok();
}

}  // namespace gyges::cues
