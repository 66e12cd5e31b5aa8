#include "sandbox/network/world/zone.h"

#include <algorithm>
#include <charconv>

#include "base/hash.h"
#include "base/text.h"
#include "sandbox/network/names/host_name.h"

namespace gyges::network {
namespace {

using dns::Type;

bool is(std::uint16_t type, Type wanted) {
  return type == static_cast<std::uint16_t>(wanted);
}

// The part of a name that was bought: its last two labels. Public suffixes of more labels are taken
// for a zone too, which shows only in the SOA of their negative answers.
std::string zone_of(std::string_view name) {
  if (name == ".") return ".";
  std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::string(name);
  std::size_t before = name.rfind('.', dot - 1);
  return std::string(before == std::string_view::npos ? name : name.substr(before + 1));
}

constexpr char first_root = 'a';
constexpr char last_root = 'm';

std::string root_server(char letter) {
  return letter + std::string(".root-servers.net");
}

// "1.2.0.192.in-addr.arpa" or the 32 nibbles of ip6.arpa.
std::optional<IpAddress> reverse_address(std::string_view name) {
  constexpr std::string_view v4_suffix = ".in-addr.arpa";
  constexpr std::string_view v6_suffix = ".ip6.arpa";
  IpAddress address;
  if (name.ends_with(v4_suffix)) {
    auto parts = split(name.substr(0, name.size() - v4_suffix.size()), '.');
    if (parts.size() != 4) return std::nullopt;
    std::reverse(parts.begin(), parts.end());
    auto parsed = parse_address(join(parts, "."));
    if (!parsed) return std::nullopt;
    return *parsed;
  }
  if (!name.ends_with(v6_suffix)) return std::nullopt;
  auto parts = split(name.substr(0, name.size() - v6_suffix.size()), '.');
  if (parts.size() != 32) return std::nullopt;
  address.v6 = true;
  for (std::size_t i = 0; i < 32; ++i) {
    const std::string& digit = parts[31 - i];
    unsigned value = 0;
    auto [end, error] = std::from_chars(digit.data(), digit.data() + digit.size(), value, 16);
    if (digit.size() != 1 || error != std::errc() || end != digit.data() + 1) return std::nullopt;
    address.bytes[i / 2] = static_cast<std::uint8_t>(address.bytes[i / 2] << 4U | value);
  }
  return address;
}

}  // namespace

Zone::Zone(const WorldData& world) : world_(world) {
  for (const Site& site : world_.sites) add_site(site);
  add_servers();
}

// Who is named as a zone's server has an address as well.
void Zone::add_servers() {
  std::vector<std::string> servers;
  for (const auto& [host, entry] : exact_)
    if (zone_of(host) == host)
      for (const char* server : {"ns1.", "ns2."}) servers.push_back(server + host);
  for (char letter = first_root; !world_.sites.empty() && letter <= last_root; ++letter)
    servers.push_back(root_server(letter));
  Entry storage{};
  for (const std::string& server : servers) {
    if (find(server, storage) != nullptr) continue;
    Entry entry{&server_, draw_own(server)};
    for (const IpAddress& address : entry.addresses) by_address_[address].push_back(server);
    exact_.emplace(server, std::move(entry));
  }
}

// Two names of generated addresses never share one: a shared one would be a cue.
std::vector<IpAddress> Zone::draw_own(const std::string& host) const {
  std::vector<IpAddress> addresses = draw(host);
  for (IpAddress& address : addresses)
    for (int tries = 0; by_address_.contains(address) && tries < 64; ++tries) {
      bool possible = false;
      address = drawn_address(host + "/" + std::to_string(tries), address.v6, possible);
    }
  return addresses;
}

void Zone::add_site(const Site& site) {
  for (const std::string& host : site.hosts) {
    if (host.starts_with("*.")) {
      below_.emplace_back(host.substr(1), &site);
      for (const IpAddress& address : site.addresses) by_address_[address];
      continue;
    }
    Host parsed;
    if (parse_host(host, parsed) != HostFault::none) continue;  // the reader saw to it
    Entry entry{&site, {}};
    if (parsed.address) {
      entry.addresses = {*parsed.address};
    } else if (site.records.cname.empty()) {
      entry.addresses = site.addresses.empty() ? draw_own(host) : site.addresses;
    }
    for (const IpAddress& address : entry.addresses) by_address_[address].push_back(host);
    exact_.emplace(host, std::move(entry));
  }
}

IpAddress Zone::drawn_address(std::string_view name, bool v6, bool& possible) const {
  std::vector<const IpNetwork*> pools;
  for (const IpNetwork& pool : world_.pools)
    if (pool.address.v6 == v6) pools.push_back(&pool);
  possible = !pools.empty();
  if (!possible) return {};
  Sha256 hash = sha256(std::to_string(world_.seed) + "/address/" + std::string(name));
  const IpNetwork& pool = *pools[hash[0] % pools.size()];
  IpAddress address = pool.address;
  const unsigned bits = v6 ? 128 : 32;
  for (unsigned bit = pool.prefix; bit < bits; ++bit) {
    unsigned drawn = (static_cast<unsigned>(hash[1 + bit / 8]) >> (7 - bit % 8)) & 1U;
    address.bytes[bit / 8] |= static_cast<std::uint8_t>(drawn << (7 - bit % 8));
  }
  // Neither the network's nor the broadcast address of a /24.
  std::uint8_t& last = address.bytes[v6 ? 15 : 3];
  if (bits - pool.prefix >= 8 && (last == 0 || last == 255)) last = 1 + hash[31] % 254;
  return address;
}

std::vector<IpAddress> Zone::draw(std::string_view name) const {
  std::vector<IpAddress> addresses;
  for (bool v6 : {false, true}) {
    bool possible = false;
    IpAddress address = drawn_address(name, v6, possible);
    if (possible) addresses.push_back(address);
  }
  return addresses;
}

const Zone::Entry* Zone::find(std::string_view name, Entry& storage) const {
  auto found = exact_.find(name);
  if (found != exact_.end()) return &found->second;
  for (const auto& [suffix, site] : below_) {
    if (name.size() <= suffix.size() || !name.ends_with(suffix)) continue;
    storage = {site, {}};
    if (site->records.cname.empty())
      storage.addresses = site->addresses.empty() ? draw(name) : site->addresses;
    return &storage;
  }
  return nullptr;
}

const Site* Zone::site_of(std::string_view name) const {
  Entry storage{};
  const Entry* entry = find(name, storage);
  return entry == nullptr ? nullptr : entry->site;
}

std::vector<IpAddress> Zone::addresses_of(std::string_view name) const {
  std::string current(name);
  for (int hops = 0; hops < 8; ++hops) {
    Entry storage{};
    const Entry* entry = find(current, storage);
    if (entry == nullptr) return {};
    if (entry->site->records.cname.empty()) return entry->addresses;
    current = entry->site->records.cname;
  }
  return {};
}

std::vector<std::string> Zone::hosts_at(const IpAddress& address) const {
  auto found = by_address_.find(address);
  return found == by_address_.end() ? std::vector<std::string>{} : found->second;
}

bool Zone::has_names_in(std::string_view zone) const {
  const std::string below = "." + std::string(zone);
  const auto is_in = [&](std::string_view name) { return name == zone || name.ends_with(below); };
  return std::any_of(exact_.begin(), exact_.end(),
                     [&](const auto& known) { return is_in(known.first); }) ||
         std::any_of(below_.begin(), below_.end(),
                     [&](const auto& known) { return is_in(known.first); });
}

// Of the innermost zone that there is: the one that was bought, that of its last label, the root's.
void Zone::add_soa(std::string_view name, dns::Answer& answer) const {
  std::string zone = zone_of(name);
  const std::string last = zone.substr(zone.rfind('.') + 1);
  const bool bought =
      zone == last ? exact_.contains(zone) : zone.ends_with(".arpa") || has_names_in(zone);
  if (!bought) zone = !last.empty() && has_names_in(last) ? last : ".";
  // A serial as many zones have it: the day of the last change, here by the seed.
  Sha256 hash = sha256(std::to_string(world_.seed) + "/serial/" + zone);
  std::uint32_t serial = 2'024'000'000U + hash[0] % 12U * 10000U + 10100U + hash[1] % 28U * 100U;
  std::string primary = bought ? "ns1." + zone : "a.nic." + zone;
  std::string mailbox = bought ? "hostmaster." + zone : "hostmaster.nic." + zone;
  if (zone == ".") {
    primary = root_server(first_root);
    mailbox = "nstld.verisign-grs.com";
  }
  if (auto soa = dns::soa_record(zone, primary, mailbox, serial, 900))
    answer.authority.push_back(std::move(*soa));
}

void Zone::answer_reverse(const dns::Question& question, dns::Answer& answer, bool& exists) const {
  auto address = reverse_address(question.name);
  if (!address) return;
  auto hosts = hosts_at(unmapped(*address));
  if (hosts.empty()) return;
  exists = true;
  answer.rcode = dns::Rcode::no_error;
  if (is(question.type, Type::ptr))
    if (auto record = dns::name_record(question.name, Type::ptr, hosts.front(), 3600))
      answer.answers.push_back(std::move(*record));
}

void Zone::answer_root(const dns::Question& question, dns::Answer& answer) const {
  const bool any = is(question.type, Type::any);
  if (any || is(question.type, Type::ns))
    for (char letter = first_root; letter <= last_root; ++letter)
      if (auto record = dns::name_record(".", Type::ns, root_server(letter), 518400))
        answer.answers.push_back(std::move(*record));
  add_soa(".", answer);
  if (any || is(question.type, Type::soa)) {
    answer.answers.push_back(std::move(answer.authority.back()));
    answer.authority.clear();
  }
  if (!answer.answers.empty()) answer.authority.clear();
}

dns::Answer Zone::answer(const dns::Question& question, bool& exists) const {
  dns::Answer answer;
  if (question.name == ".") {
    exists = true;
    answer_root(question, answer);
    return answer;
  }
  answer.rcode = dns::Rcode::no_such_name;
  exists = false;
  if (question.name.ends_with(".arpa")) {
    answer_reverse(question, answer, exists);
    if (answer.answers.empty()) add_soa(question.name, answer);
    return answer;
  }
  auto asks = [&](Type type) { return is(question.type, type) || is(question.type, Type::any); };
  Host host;
  std::string name;
  if (parse_host(question.name, host) == HostFault::none) name = host.text;
  for (int hops = 0; hops < 8 && !name.empty(); ++hops) {
    Entry storage{};
    const Entry* entry = find(name, storage);
    if (entry == nullptr) break;
    exists = true;
    answer.rcode = dns::Rcode::no_error;
    const SiteRecords& records = entry->site->records;
    if (!records.cname.empty()) {
      auto record = dns::name_record(name, Type::cname, records.cname, records.ttl);
      if (!record) break;
      answer.answers.push_back(std::move(*record));
      if (asks(Type::cname)) break;
      name = records.cname;
      continue;
    }
    for (const IpAddress& address : entry->addresses)
      if (asks(address.v6 ? Type::aaaa : Type::a))
        answer.answers.push_back(dns::address_record(name, address, records.ttl));
    if (asks(Type::mx))
      for (const MailExchange& mx : records.mx)
        if (auto record = dns::mx_record(name, mx.preference, mx.host, records.ttl))
          answer.answers.push_back(std::move(*record));
    if (asks(Type::txt))
      for (const std::string& text : records.txt)
        if (auto record = dns::txt_record(name, text, records.ttl))
          answer.answers.push_back(std::move(*record));
    if (zone_of(name) == name && asks(Type::ns))
      for (const char* server : {"ns1.", "ns2."})
        if (auto record = dns::name_record(name, Type::ns, server + name, 86400))
          answer.answers.push_back(std::move(*record));
    if (zone_of(name) == name && asks(Type::soa)) {
      add_soa(name, answer);
      answer.answers.push_back(std::move(answer.authority.back()));
      answer.authority.clear();
    }
    break;
  }
  // A name above an existing one exists, without data (RFC 8020).
  if (!exists && !name.empty()) {
    std::string below = "." + name;
    for (const auto& [known, entry] : exact_)
      if (known.ends_with(below)) exists = true;
    for (const auto& [suffix, site] : below_)
      if (suffix == below || suffix.ends_with(below)) exists = true;
    if (exists) answer.rcode = dns::Rcode::no_error;
  }
  if (answer.answers.empty()) add_soa(question.name, answer);
  return answer;
}

}  // namespace gyges::network
