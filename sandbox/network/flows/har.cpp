#include "sandbox/network/flows/har.h"

#include <strings.h>

#include <cstdio>
#include <ctime>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/network/flows/base64.h"
#include "sandbox/network/flows/flow_reader.h"

namespace gyges::network {
namespace {

using nlohmann::json;

std::string iso_time(std::int64_t ns) {
  std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char date[64];
  char text[96];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%06lldZ", date,
                static_cast<long long>(ns % 1'000'000'000 / 1000));
  return text;
}

json named(const json& headers) {
  json list = json::array();
  for (const auto& header : headers) list.push_back({{"name", header[0]}, {"value", header[1]}});
  return list;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

bool same_name(std::string_view one, std::string_view other) {
  return one.size() == other.size() && ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

std::string header_of(const json& headers, std::string_view name) {
  for (const auto& header : headers) {
    if (same_name(header[0].get_ref<const std::string&>(), name))
      return header[1].get<std::string>();
  }
  return {};
}

struct Pair {
  std::string_view name;
  std::string_view value;  // empty where there is no =
};

Pair pair_of(std::string_view text) {
  std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {trimmed(text), {}};
  return {trimmed(text.substr(0, equals)), trimmed(text.substr(equals + 1))};
}

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    std::size_t end = text.find(';');
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

json sent_cookies(const json& headers) {
  json list = json::array();
  for (const auto& header : headers) {
    if (!same_name(header[0].get_ref<const std::string&>(), "cookie")) continue;
    for (std::string_view part : parts_of(header[1].get_ref<const std::string&>()))
      if (Pair cookie = pair_of(part); !cookie.name.empty())
        list.push_back({{"name", cookie.name}, {"value", cookie.value}});
  }
  return list;
}

// RFC 6265, 4.1. `expires` is left out: it is another form of date there, and stands in the header.
json set_cookies(const json& headers) {
  json list = json::array();
  for (const auto& header : headers) {
    if (!same_name(header[0].get_ref<const std::string&>(), "set-cookie")) continue;
    std::vector<std::string_view> parts = parts_of(header[1].get_ref<const std::string&>());
    Pair cookie = pair_of(parts.front());
    json one = {{"name", cookie.name}, {"value", cookie.value}};
    for (std::size_t i = 1; i < parts.size(); ++i) {
      Pair attribute = pair_of(parts[i]);
      if (same_name(attribute.name, "path")) one["path"] = attribute.value;
      if (same_name(attribute.name, "domain")) one["domain"] = attribute.value;
      if (same_name(attribute.name, "httponly")) one["httpOnly"] = true;
      if (same_name(attribute.name, "secure")) one["secure"] = true;
    }
    list.push_back(std::move(one));
  }
  return list;
}

json query_of(const std::string& url) {
  json list = json::array();
  std::size_t mark = url.find('?');
  if (mark == std::string::npos) return list;
  for (const std::string& pair : split(std::string_view(url).substr(mark + 1), '&')) {
    std::size_t equals = pair.find('=');
    list.push_back({{"name", pair.substr(0, equals)},
                    {"value", equals == std::string::npos ? "" : pair.substr(equals + 1)}});
  }
  return list;
}

// What is missing of a body, for its comment.
std::string missing(const json& body) {
  std::uint64_t size = body.value("size", std::uint64_t{0});
  std::uint64_t stored = body.value("stored", std::uint64_t{0});
  if (stored >= size) return {};
  return std::to_string(stored) + " of " + std::to_string(size) + " bytes were kept";
}

Result<json> entry_of(const json& flow, const std::filesystem::path& bundle,
                      std::int64_t epoch_ns) {
  const json& http = flow.at("http");
  const json none = json::object();
  const json& request_body = http.contains("request_body") ? http.at("request_body") : none;
  const json& response_body = http.contains("response_body") ? http.at("response_body") : none;
  GYGES_TRY(std::string sent, read_body(bundle, request_body));
  GYGES_TRY(std::string received, read_body(bundle, response_body));
  std::string version = "HTTP/" + http.at("version").get<std::string>();
  double milliseconds = static_cast<double>(flow.at("duration_ns").get<std::int64_t>()) / 1e6;
  json request = {{"method", http.at("method")},
                  {"url", http.at("url")},
                  {"httpVersion", version},
                  {"cookies", sent_cookies(http.at("request_headers"))},
                  {"headers", named(http.at("request_headers"))},
                  {"queryString", query_of(http.at("url").get<std::string>())},
                  {"headersSize", -1},
                  {"bodySize", request_body.value("size", std::uint64_t{0})}};
  if (!sent.empty()) {
    request["postData"] = {{"mimeType", header_of(http.at("request_headers"), "content-type")},
                           {"params", json::array()},
                           {"text", valid_utf8(sent)}};
    if (std::string comment = missing(request_body); !comment.empty())
      request["postData"]["comment"] = comment;
  }
  json content = {{"size", response_body.value("size", std::uint64_t{0})},
                  {"mimeType", header_of(http.at("response_headers"), "content-type")}};
  if (!received.empty()) {
    bool text = valid_utf8(received) == received;
    content["text"] = text ? received : to_base64(received);
    if (!text) content["encoding"] = "base64";
    if (std::string comment = missing(response_body); !comment.empty())
      content["comment"] = comment;
  }
  int status = http.at("status").get<int>();
  return json{{"startedDateTime", iso_time(epoch_ns + flow.at("time_ns").get<std::int64_t>())},
              {"time", milliseconds},
              {"request", std::move(request)},
              {"response",
               {{"status", status},
                {"statusText", ""},
                {"httpVersion", version},
                {"cookies", set_cookies(http.at("response_headers"))},
                {"headers", named(http.at("response_headers"))},
                {"content", std::move(content)},
                {"redirectURL", header_of(http.at("response_headers"), "location")},
                {"headersSize", -1},
                {"bodySize", response_body.value("size", std::uint64_t{0})}}},
              {"cache", json::object()},
              {"timings", {{"send", 0}, {"wait", milliseconds}, {"receive", 0}}},
              {"serverIPAddress", flow.at("destination")},
              {"connection", std::to_string(flow.at("connection").get<std::uint64_t>())},
              {"comment", "verdict " + flow.at("verdict").get<std::string>() + ", tool call " +
                              std::to_string(flow.at("tool_call").get<std::uint64_t>())}};
}

}  // namespace

Result<json> flows_to_har(const std::vector<json>& flows, const std::filesystem::path& bundle,
                          std::int64_t epoch_ns) {
  json entries = json::array();
  for (const json& flow : flows) {
    if (!flow.contains("http") || flow.at("http").at("method").get<std::string>().empty()) continue;
    GYGES_TRY(entries.emplace_back(), entry_of(flow, bundle, epoch_ns));
  }
  return json{{"log",
               {{"version", "1.2"},
                {"creator", {{"name", "gyges"}, {"version", "0.1.0"}}},
                {"pages", json::array()},
                {"entries", std::move(entries)}}}};
}

}  // namespace gyges::network
