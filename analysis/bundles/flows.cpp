#include "analysis/bundles/flows.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "analysis/bundles/json_lines.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

std::uint64_t count_member(const nlohmann::json& line, const char* name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_member(line, name)));
}

}  // namespace

Result<FlowSummary> load_flow_summary(const std::filesystem::path& file) {
  FlowSummary summary;
  std::set<std::string> destinations;
  std::set<std::string> names;
  // Lines of one connection (tcp, then tls, then http) carry the same bytes; the most counts.
  std::map<std::uint64_t, std::uint64_t> sent;
  GYGES_CHECK(for_each_json_line(file, [&](const nlohmann::json& line) -> Status {
    std::string protocol = text_member(line, "protocol");
    if (protocol.empty()) return fail("read flow", file.string(), "a line without a protocol");
    std::string destination =
        fmt::format("{} port {}", text_member(line, "destination"), integer_member(line, "port"));
    std::string name = text_member(line, "name");
    if (auto dns = line.find("dns"); dns != line.end() && dns->is_object())
      name = text_member(*dns, "name");
    std::uint64_t bytes = count_member(line, "sent_bytes");
    Evidence evidence{"flows",
                      std::nullopt,
                      count_member(line, "time_ns"),
                      0,
                      static_cast<std::uint32_t>(count_member(line, "tool_call")),
                      printable(fmt::format("{} to {}{}, {} bytes sent, {}", protocol, destination,
                                            name.empty() ? "" : " (" + name + ")", bytes,
                                            text_member(line, "verdict")))};
    if (destinations.insert(destination).second) summary.destination_evidence.add(evidence);
    if (!name.empty() && names.insert(name).second) summary.name_evidence.add(evidence);
    if (text_member(line, "verdict") == "refused") {
      ++summary.refused;
      summary.refused_evidence.add(evidence);
    }
    std::uint64_t& most = sent[count_member(line, "connection")];
    if (bytes > 0 && most == 0) summary.sent_evidence.add(evidence);
    most = std::max(most, bytes);
    return ok();
  }));
  summary.destinations = destinations.size();
  summary.names = names.size();
  for (const auto& [connection, bytes] : sent) summary.sent_bytes += bytes;
  return summary;
}

}  // namespace gyges::analysis
