// gyges flows: what a run's network did, as a table, as JSON lines, as HAR and as a capture file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/output_file.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "sandbox/network/flows/flow_reader.h"
#include "sandbox/network/flows/har.h"
#include "sandbox/network/flows/pcapng.h"
#include "sandbox/network/names/host_name.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::cli {
namespace {

using nlohmann::json;

struct FlowOptions {
  std::string run, host, verdict, protocol, format = "jsonl", output;
  std::optional<std::uint64_t> tool_call;
  bool json = false, canaries = false;
};

bool fits(const json& flow, const FlowOptions& options) {
  if (options.tool_call && flow.at("tool_call").get<std::uint64_t>() != *options.tool_call)
    return false;
  if (!options.verdict.empty() && flow.at("verdict") != options.verdict) return false;
  if (!options.protocol.empty() && flow.at("protocol") != options.protocol) return false;
  if (options.canaries && !flow.contains("canaries")) return false;
  if (options.host.empty()) return true;
  auto name = flow.at("name").get<std::string>();
  if (options.host.starts_with("*."))
    return name.size() >= options.host.size() &&
           name.ends_with(std::string_view(options.host).substr(1));
  return name == options.host || flow.at("destination") == options.host;
}

std::string what(const json& flow) {
  std::string text;
  if (flow.contains("http")) {
    const json& http = flow.at("http");
    text = http.at("method").get<std::string>() + " " + http.at("url").get<std::string>() + " " +
           std::to_string(http.at("status").get<int>());
  } else if (flow.contains("dns")) {
    const json& dns = flow.at("dns");
    text = dns.at("type").get<std::string>() + " " + dns.at("name").get<std::string>() + " " +
           dns.at("code").get<std::string>();
    for (const auto& answer : dns.at("answers")) text += " " + answer.get<std::string>();
  } else {
    text = flow.at("name").get<std::string>();
    if (flow.contains("sni")) text += " sni " + flow.at("sni").get<std::string>();
  }
  if (auto reason = flow.at("reason").get<std::string>(); !reason.empty())
    text += " (" + reason + ")";
  if (flow.contains("canaries"))
    for (const auto& hit : flow.at("canaries"))
      text += " CANARY " + hit.at("canary").get<std::string>() + " " +
              hit.at("encoding").get<std::string>() + " in " + hit.at("place").get<std::string>();
  return printable(text);
}

int show(FlowOptions options) {
  if (!options.host.empty()) {
    auto host = network::canonical_host_pattern(options.host);
    if (!host) return report(host.error());
    options.host = *host;
  }
  // Flows stand in the record when they end, in the table when they began.
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  std::vector<std::pair<std::int64_t, std::string>> rows;
  Status read = network::read_flows(options.run, [&](const json& flow) {
    std::int64_t time = flow.at("time_ns").get<std::int64_t>();
    first = std::min(first, time);
    if (!fits(flow, options)) return true;
    if (options.json) {
      std::printf("%s\n", flow.dump().c_str());
      return true;
    }
    auto address = flow.at("destination").get<std::string>();
    if (address.find(':') != std::string::npos) address = "[" + address + "]";
    address += ":" + std::to_string(flow.at("port").get<unsigned>());
    auto number = [&flow](const char* key) { return flow.at(key).get<std::uint64_t>(); };
    rows.emplace_back(time,
                      fmt::format("{:6} {:5} {:<5} {:<9} {:<28} {:10} {:10}  {}", number("pid"),
                                  number("tool_call"), flow.at("protocol").get<std::string>(),
                                  flow.at("verdict").get<std::string>(), printable(address),
                                  number("sent_bytes"), number("received_bytes"), what(flow)));
    return true;
  });
  if (!read) return report(read.error());
  if (options.json) return 0;
  std::printf("%10s %6s %5s %-5s %-9s %-28s %10s %10s  %s\n", "seconds", "pid", "call", "proto",
              "verdict", "destination", "sent", "received", "what");
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [time, text] : rows)
    std::printf("%10.3f %s\n", static_cast<double>(time - first) / 1e9, text.c_str());
  return 0;
}

// The realtime of time_ns 0: from the trace, which knows it exactly, else from the start that
// run.json names, taken for the time of the first flow.
std::int64_t epoch_of(const std::string& run, std::int64_t first_ns) {
  if (auto trace = recorder::TraceReader::open(run + "/trace.gyt"))
    return static_cast<std::int64_t>(trace->realtime_base_ns());
  auto text = read_file(run + "/run.json");
  json value = text ? json::parse(*text, nullptr, false) : json();
  std::tm parts{};
  if (!value.is_object() || !value.contains("started_at") || !value["started_at"].is_string() ||
      ::strptime(value["started_at"].get<std::string>().c_str(), "%Y-%m-%dT%H:%M:%S", &parts) ==
          nullptr)
    return 0;
  return static_cast<std::int64_t>(::timegm(&parts)) * 1'000'000'000 - first_ns;
}

int export_flows(const FlowOptions& options) {
  std::vector<json> flows;
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  Status read = network::read_flows(options.run, [&](const json& flow) {
    first = std::min(first, flow.at("time_ns").get<std::int64_t>());
    flows.push_back(flow);
    return true;
  });
  if (!read) return report(read.error());
  std::string out;
  if (options.format == "jsonl") {
    for (const json& flow : flows) out += flow.dump() + "\n";
  } else if (options.format == "har") {
    auto har = network::flows_to_har(flows, options.run, epoch_of(options.run, first));
    if (!har) return report(har.error());
    out = har->dump(2) + "\n";
  } else {
    auto capture = network::flows_to_pcapng(flows, options.run, epoch_of(options.run, first));
    if (!capture) return report(capture.error());
    out = std::move(*capture);
  }
  if (!options.output.empty()) {
    Status written = write_output_file(options.output, out);
    return written ? 0 : report(written.error());
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  return 0;
}

}  // namespace

void add_flows(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<FlowOptions>();
  CLI::App* command = root.add_subcommand("flows", "What a run's network did");
  command->require_subcommand(1);

  CLI::App* list = command->add_subcommand("show", "Print the flows of a run");
  list->add_option("run", options->run, "directory of the run bundle")->required();
  list->add_flag("--json", options->json, "one JSON object a line (docs/flows.md)");
  list->add_option("--tool-call", options->tool_call, "only of this tool call");
  list->add_option("--host", options->host, "only to this name or address; *.NAME for names below");
  list->add_option("--verdict", options->verdict, "only with this verdict")
      ->check(CLI::IsMember({"refused", "simulated", "relayed", "sunk"}));
  list->add_option("--protocol", options->protocol, "only of this protocol: tcp, dns, http, ...");
  list->add_flag("--canaries", options->canaries, "only where a planted token was found");
  list->footer("Example:\n  gyges flows show runs/1 --verdict refused");
  list->callback([options, &exit_status] { exit_status = show(*options); });

  CLI::App* carry = command->add_subcommand("export", "Write the flows of a run for other tools");
  carry->add_option("run", options->run, "directory of the run bundle")->required();
  carry->add_option("--format", options->format, "jsonl, har (HTTP) or pcapng (TCP and UDP)")
      ->check(CLI::IsMember({"jsonl", "har", "pcapng"}))
      ->capture_default_str();
  carry->add_option("-o,--output", options->output, "file to write; standard output when absent");
  carry->footer("Example:\n  gyges flows export runs/1 --format har -o run-1.har");
  carry->callback([options, &exit_status] { exit_status = export_flows(*options); });
}

}  // namespace gyges::cli
