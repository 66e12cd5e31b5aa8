#include "sandbox/network/world/world_data.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/network/names/host_name.h"

namespace gyges::network {
namespace {

using nlohmann::json;

constexpr double z_of_p99 = 2.3263;
constexpr std::int64_t longest_latency_ns = 60'000'000'000;

struct ContentType {
  std::string_view extension, type;
};
constexpr ContentType content_types[] = {
    {".html", "text/html; charset=utf-8"},
    {".htm", "text/html; charset=utf-8"},
    {".txt", "text/plain; charset=utf-8"},
    {".md", "text/markdown; charset=utf-8"},
    {".css", "text/css"},
    {".js", "application/javascript"},
    {".json", "application/json"},
    {".xml", "application/xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".gif", "image/gif"},
    {".svg", "image/svg+xml"},
    {".pdf", "application/pdf"},
    {".gz", "application/gzip"},
    {".tgz", "application/gzip"},
    {".xz", "application/x-xz"},
    {".zip", "application/zip"},
    {".whl", "application/octet-stream"},
    {".deb", "application/vnd.debian.binary-package"},
};

// The place of what is wrong, collected on the way down.
struct Place {
  std::string_view source;
  std::string path;
  [[nodiscard]] Place at(std::string_view key) const {
    return {source, path + "/" + std::string(key)};
  }
  [[nodiscard]] Place at(std::size_t index) const { return at(std::to_string(index)); }
  [[nodiscard]] tl::unexpected<Error> fault(std::string_view reason, std::string_view cure) const {
    return fail("read internet", std::string(source) + " at " + path, reason, cure);
  }
};

Latency latency_from(const json& value) {
  Latency latency;
  latency.median_ms = value.value("median", 0.0);
  latency.p99_ms = std::max(value.value("p99", latency.median_ms * 4), latency.median_ms);
  return latency;
}

// A value or header line of a body that would end the header is refused, not escaped.
bool is_header(const std::string& name, const std::string& value) {
  auto token = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), token) &&
         std::none_of(value.begin(), value.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<Headers> headers_from(const json& value, const Place& place) {
  Headers headers;
  for (const auto& [name, content] : value.items()) {
    auto text = content.get<std::string>();
    if (!is_header(name, text))
      return place.at(name).fault("is no header",
                                  "use letters and '-' in the name, no line breaks");
    headers.emplace_back(name, std::move(text));
  }
  return headers;
}

std::string text_from(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::string text;
  for (const auto& line : value) text += line.get<std::string>() + "\n";
  return text;
}

Result<std::vector<std::string>> hosts_from(const json& value, const Place& place) {
  std::vector<std::string> hosts;
  json list = value.is_string() ? json::array({value}) : value;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto host = canonical_host_pattern(list[i].get<std::string>());
    if (!host) return place.at(i).fault(host.error().reason, host.error().cure);
    hosts.push_back(std::move(*host));
  }
  return hosts;
}

Result<std::vector<Page>> pages_from(const json& value, const Place& place) {
  std::vector<Page> pages;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const json& one = value[i];
    Page page;
    page.path = one.at("path").get<std::string>();
    page.methods = one.value("methods", std::vector<std::string>{"GET", "HEAD"});
    page.status = one.value("status", 200);
    GYGES_TRY(page.headers,
              headers_from(one.value("headers", json::object()), place.at(i).at("headers")));
    if (one.contains("text")) page.body = text_from(one.at("text"));
    if (one.contains("json")) {
      page.body = one.at("json").dump() + "\n";
      page.headers.emplace_back("Content-Type", "application/json");
    }
    pages.push_back(std::move(page));
  }
  return pages;
}

SiteFile site_file(std::string_view path, std::string bytes) {
  SiteFile file;
  file.content_type = content_type_of(path);
  file.etag = "\"" + to_hex(sha256(bytes)).substr(0, 16) + "\"";
  file.bytes = std::move(bytes);
  return file;
}

void add_files(const json& trees, std::size_t site_index,
               const std::map<std::string, std::string>& files, Site& site) {
  for (std::size_t i = 0; i < trees.size(); ++i) {
    std::string prefix = std::to_string(site_index) + "/" + std::to_string(i) + "/";
    std::string at = trees[i].at("at").get<std::string>();
    if (!at.ends_with('/')) at += '/';
    for (auto file = files.lower_bound(prefix);
         file != files.end() && file->first.starts_with(prefix); ++file) {
      std::string path = at + file->first.substr(prefix.size());
      site.files.insert_or_assign(path, site_file(path, file->second));
    }
  }
}

Result<Site> site_from(const json& value, std::size_t index,
                       const std::map<std::string, std::string>& files, const Latency& latency,
                       const Place& place) {
  Site site;
  GYGES_TRY(site.hosts, hosts_from(value.at("host"), place.at("host")));
  for (const auto& text : value.value("addresses", std::vector<std::string>{})) {
    auto address = parse_address(text);
    if (!address) return place.at("addresses").fault(address.error().reason, address.error().cure);
    site.addresses.push_back(unmapped(*address));
  }
  site.records.ttl = value.value("ttl", 300U);
  if (value.contains("cname")) {
    auto name = canonical_host_name(value.at("cname").get<std::string>());
    if (!name) return place.at("cname").fault(name.error().reason, name.error().cure);
    site.records.cname = std::move(*name);
  }
  const json mx = value.value("mx", json::array());
  for (std::size_t i = 0; i < mx.size(); ++i) {
    auto name = canonical_host_name(mx[i].at("host").get<std::string>());
    if (!name) return place.at("mx").at(i).fault(name.error().reason, name.error().cure);
    site.records.mx.push_back({mx[i].value("preference", std::uint16_t{10}), std::move(*name)});
  }
  site.records.txt = value.value("txt", std::vector<std::string>{});
  site.http_ports = value.value("http_ports", std::vector<std::uint16_t>{80});
  site.https_ports = value.value("https_ports", std::vector<std::uint16_t>{443});
  site.server = value.value("server", "nginx");
  if (!is_header("Server", site.server)) return place.at("server").fault("is no header value", "");
  GYGES_TRY(site.headers,
            headers_from(value.value("headers", json::object()), place.at("headers")));
  site.redirect_to_https = value.value("redirect_to_https", false);
  GYGES_TRY(site.pages, pages_from(value.value("pages", json::array()), place.at("pages")));
  add_files(value.value("files", json::array()), index, files, site);
  site.not_found = value.contains("not_found")
                       ? text_from(value.at("not_found"))
                       : "<html>\r\n<head><title>404 Not Found</title></head>\r\n"
                         "<body>\r\n<center><h1>404 Not Found</h1></center>\r\n"
                         "</body>\r\n</html>\r\n";
  site.latency = value.contains("latency_ms") ? latency_from(value.at("latency_ms")) : latency;
  site.error_rate = value.value("error_rate", 0.0);
  return site;
}

Result<PortService> service_from(const json& value, const Place& place) {
  PortService service;
  auto kind = value.at("protocol").get<std::string>();
  service.kind = kind == "smtp"  ? ServiceKind::smtp
                 : kind == "ntp" ? ServiceKind::ntp
                                 : ServiceKind::banner;
  std::uint16_t port = kind == "smtp" ? 25 : kind == "ntp" ? 123 : 0;
  service.port = value.value("port", port);
  if (service.port == 0) return place.fault("has no port", "add \"port\"");
  if (value.contains("host")) {
    GYGES_TRY(service.hosts, hosts_from(value.at("host"), place.at("host")));
  }
  service.banner = value.value("banner", "");
  service.mailboxes = value.value("mailboxes", std::vector<std::string>{});
  return service;
}

}  // namespace

std::int64_t Latency::sample_ns(double z) const {
  if (median_ms <= 0) return 0;
  double sigma = std::log(p99_ms / median_ms) / z_of_p99;
  double ns = median_ms * std::exp(std::clamp(z, -4.0, 4.0) * sigma) * 1e6;
  return static_cast<std::int64_t>(std::min(ns, static_cast<double>(longest_latency_ns)));
}

std::string_view content_type_of(std::string_view path) {
  for (const ContentType& row : content_types)
    if (path.ends_with(row.extension)) return row.type;
  // What git's dumb protocol, checksums and release files are served as.
  return path.substr(path.rfind('/') + 1).find('.') == std::string_view::npos
             ? "text/plain"
             : "application/octet-stream";
}

Result<WorldData> world_from_json(const json& value,
                                  const std::map<std::string, std::string>& files,
                                  std::string_view source) {
  WorldData world;
  Place place{source, "/internet"};
  world.answer_unknown_names = value.value("unknown_names", "nxdomain") == "answer";
  for (const auto& text : value.value("address_pools", std::vector<std::string>{})) {
    auto pool = parse_network(text);
    if (!pool) return place.at("address_pools").fault(pool.error().reason, pool.error().cure);
    world.pools.push_back(*pool);
  }
  // Documentation addresses: nothing can be meant by them outside.
  if (world.pools.empty())
    for (const char* text : {"198.51.100.0/24", "203.0.113.0/24"})
      world.pools.push_back(*parse_network(text));
  if (value.contains("dns_latency_ms"))
    world.dns_latency = latency_from(value.at("dns_latency_ms"));
  Latency latency;
  if (value.contains("latency_ms")) latency = latency_from(value.at("latency_ms"));
  const json sites = value.value("sites", json::array());
  for (std::size_t i = 0; i < sites.size(); ++i) {
    GYGES_TRY(world.sites.emplace_back(),
              site_from(sites[i], i, files, latency, place.at("sites").at(i)));
  }
  const json services = value.value("services", json::array());
  for (std::size_t i = 0; i < services.size(); ++i) {
    GYGES_TRY(world.services.emplace_back(), service_from(services[i], place.at("services").at(i)));
  }
  const json canaries = value.value("canaries", json::array());
  for (std::size_t i = 0; i < canaries.size(); ++i) {
    Canary canary{canaries[i].at("name").get<std::string>(),
                  canaries[i].at("token").get<std::string>()};
    if (canary.token.size() < CanarySet::shortest_token ||
        canary.token.size() > CanarySet::longest_token)
      return place.at("canaries")
          .at(i)
          .fault("the token has not 8 to 128 bytes", "use {{hex 24 NAME}}");
    world.canaries.push_back(std::move(canary));
  }
  if (value.contains("metadata")) {
    const json& metadata = value.at("metadata");
    world.metadata.emplace();
    world.metadata->token_required = metadata.value("token_required", true);
    for (const auto& [path, content] : metadata.at("values").items())
      world.metadata->values[path] = content.get<std::string>();
  }
  return world;
}

Result<WorldData> read_world(std::string_view packed) {
  json value = json::from_cbor(packed.begin(), packed.end(), true, false);
  if (value.is_discarded() || !value.is_object())
    return fail("open world", "", "the packed world is damaged", "report this as a defect");
  try {
    std::map<std::string, std::string> files;
    for (const auto& [name, content] : value.at("files").items()) {
      const auto& bytes = content.get_binary();
      files[name] = std::string(bytes.begin(), bytes.end());
    }
    GYGES_TRY(WorldData world, world_from_json(value.at("internet"), files, "persona"));
    world.seed = value.at("seed").get<std::uint64_t>();
    world.created_at = value.at("created_at").get<std::int64_t>();
    world.authority = {value.at("certificate").get<std::string>(),
                       value.at("key").get<std::string>()};
    return world;
  } catch (const json::exception& error) {
    return fail("open world", "", error.what(), "report this as a defect");
  }
}

}  // namespace gyges::network
