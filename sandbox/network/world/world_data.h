// The simulated internet as data: what a persona's section `internet` says, with the files it
// names. An immutable value.
//
// Two steps, because the gateway has no file system: the supervisor packs (world/pack.h), the
// gateway reads what was packed. docs/network_world.md describes the section for writers.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sandbox/network/address.h"
#include "sandbox/network/exfiltration/canary_search.h"

namespace gyges::network {

// Log-normal, as response times are: half of all are below `median_ms`, one in a hundred above
// `p99_ms`. 0 and 0: at once.
struct Latency {
  double median_ms = 0;
  double p99_ms = 0;
  // Nanoseconds for a standard normal `z`; at most 60 s.
  [[nodiscard]] std::int64_t sample_ns(double z) const;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Page {
  std::string path;                  // exact, or a prefix that ends in '*'
  std::vector<std::string> methods;  // GET and HEAD when the file says nothing
  int status = 200;
  Headers headers;
  std::string body;
};

struct SiteFile {
  std::string content_type;
  std::string bytes;
  std::string etag;  // quoted
};

struct MailExchange {
  std::uint16_t preference = 10;
  std::string host;
};

// DNS data of the hosts of a site.
struct SiteRecords {
  std::uint32_t ttl = 300;  // seconds
  std::string cname;
  std::vector<MailExchange> mx;
  std::vector<std::string> txt;
};

struct Site {
  std::vector<std::string> hosts;    // canonical names, "*.name", or addresses
  std::vector<IpAddress> addresses;  // empty: every host gets one of its own from the pools
  SiteRecords records;
  std::vector<std::uint16_t> http_ports, https_ports;
  std::string server;  // the header; empty: none
  Headers headers;     // on every answer
  bool redirect_to_https = false;
  bool handed_out = false;  // the supervisor answers; see outlet/outlet.h
  std::vector<Page> pages;                // tried in order, before files
  std::map<std::string, SiteFile> files;  // by path
  std::string not_found;                  // body of 404
  Latency latency;
  double error_rate = 0;  // share of requests answered with 503
};

enum class ServiceKind { smtp, banner, ntp };

// What listens beside the web.
struct PortService {
  ServiceKind kind = ServiceKind::banner;
  std::vector<std::string> hosts;  // of sites, or addresses; empty: every address
  std::uint16_t port = 0;
  std::string banner;  // banner: sent first, then everything is taken and nothing answered
  std::vector<std::string> mailboxes;  // smtp: "user@host" or "*@host"; empty: any recipient
};

// The metadata service of a cloud machine, at 169.254.169.254.
struct MetadataService {
  bool token_required = true;                 // IMDSv2
  std::map<std::string, std::string> values;  // by path: "/latest/meta-data/instance-id"
};

struct CertificateKey {
  std::string certificate_pem;
  std::string key_pem;
};

struct WorldData {
  std::uint64_t seed = 0;
  std::int64_t created_at = 0;  // seconds of the Unix epoch: certificates are older
  bool answer_unknown_names = false;
  std::vector<IpNetwork> pools;  // of generated addresses
  Latency dns_latency;
  std::vector<Site> sites;
  std::vector<PortService> services;
  std::optional<MetadataService> metadata;
  CertificateKey authority;
  std::vector<Canary> canaries;
};

inline constexpr char metadata_address[] = "169.254.169.254";

// `packed` is what pack_world() made. Bounded and checked, though it comes from the supervisor.
Result<WorldData> read_world(std::string_view packed);

// `value` has the form of the persona schema's `internet`; `files` holds the contents that it
// names, by "<site index>/<files index>/<path below>". Errors name the place after `source`.
Result<WorldData> world_from_json(const nlohmann::json& value,
                                  const std::map<std::string, std::string>& files,
                                  std::string_view source);

// By the extension of the path, as web servers do.
std::string_view content_type_of(std::string_view path);

}  // namespace gyges::network
