#include "sandbox/network/flows/flow_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace gyges::network {
namespace {

using nlohmann::json;

json headers_to_json(const std::vector<std::pair<std::string, std::string>>& headers) {
  json list = json::array();
  for (const auto& [name, value] : headers) list.push_back({valid_utf8(name), valid_utf8(value)});
  return list;
}

Status add_body(json& line, const char* key, const FlowBody& body, const StoreBody& store) {
  if (body.size == 0 && body.head.empty()) return ok();
  json value = {{"size", body.size}};
  if (!body.sha256.empty()) value["sha256"] = body.sha256;
  if (!body.head.empty()) {
    GYGES_TRY(value["blob"], store(body.head));
    value["stored"] = body.head.size();
  }
  line[key] = std::move(value);
  return ok();
}

}  // namespace

Result<json> flow_to_json(const Flow& flow, const StoreBody& store) {
  json line = {{"time_ns", std::max<std::int64_t>(flow.time_ns, 0)},
               {"duration_ns", std::max<std::int64_t>(flow.duration_ns, 0)},
               {"connection", flow.connection},
               {"protocol", to_string(flow.protocol)},
               {"source", to_string(flow.source.address)},
               {"source_port", flow.source.port},
               {"destination", to_string(flow.destination.address)},
               {"port", flow.destination.port},
               {"name", valid_utf8(flow.name)},
               {"verdict", to_string(flow.verdict)},
               {"rule", valid_utf8(flow.rule)},
               {"reason", valid_utf8(flow.reason)},
               {"pid", flow.pid},
               {"tool_call", flow.tool_call},
               {"attribution", flow.attribution.empty() ? "none" : flow.attribution},
               {"attempts", flow.attempts},
               {"sent_bytes", flow.sent_bytes},
               {"received_bytes", flow.received_bytes}};
  if (flow.dialled.port != 0) line["dialled"] = to_string(flow.dialled);
  if (!flow.sni.empty()) line["sni"] = valid_utf8(flow.sni);
  if (!flow.alpn.empty()) line["alpn"] = valid_utf8(flow.alpn);
  if (!flow.tls.empty()) line["tls"] = valid_utf8(flow.tls);
  if (flow.http) {
    const HttpExchange& http = *flow.http;
    json value = {{"version", http.version},
                  {"method", valid_utf8(http.method)},
                  {"url", valid_utf8(http.url)},
                  {"request_headers", headers_to_json(http.request_headers)},
                  {"status", std::clamp(http.status, 0, 999)},
                  {"response_headers", headers_to_json(http.response_headers)}};
    GYGES_CHECK(add_body(value, "request_body", http.request_body, store));
    GYGES_CHECK(add_body(value, "response_body", http.response_body, store));
    line["http"] = std::move(value);
  }
  if (flow.dns) {
    json answers = json::array();
    for (const std::string& answer : flow.dns->answers) answers.push_back(valid_utf8(answer));
    line["dns"] = {{"name", valid_utf8(flow.dns->name)},
                   {"type", flow.dns->type},
                   {"code", flow.dns->code},
                   {"answers", std::move(answers)}};
  }
  GYGES_CHECK(add_body(line, "sent", flow.sent, store));
  GYGES_CHECK(add_body(line, "received", flow.received, store));
  for (const CanaryHit& hit : flow.canaries)
    line["canaries"].push_back({{"canary", valid_utf8(hit.canary)},
                                {"encoding", valid_utf8(hit.encoding)},
                                {"place", valid_utf8(hit.place)},
                                {"evidence", valid_utf8(hit.evidence)}});
  return line;
}

}  // namespace gyges::network
