#include "sandbox/network/flows/flow_reader.h"

#include <fstream>

#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::network {

Status read_flows(const std::filesystem::path& bundle,
                  const std::function<bool(const nlohmann::json&)>& visit) {
  std::filesystem::path path = bundle / "flows.jsonl";
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return fail("read flows", path.string(), "there is no such file",
                std::filesystem::is_directory(bundle, error)
                    ? "its policy allowed no network; set network.mode to gateway"
                    : "name the directory of a run bundle");
  std::ifstream file(path);
  if (!file) return fail("read flows", path.string(), "it cannot be opened", "check its mode");
  std::string line;
  for (std::uint64_t number = 1;; ++number) {
    line.clear();
    char c = 0;
    while (line.size() <= longest_flow_line && file.get(c) && c != '\n') line += c;
    if (line.size() > longest_flow_line)
      return fail("read flows", path.string() + " line " + std::to_string(number),
                  "the line is over 1 MiB", "");
    if (!file && line.empty()) return ok();
    std::string source = path.string() + " line " + std::to_string(number);
    if (!file)  // the last line of a run that was cut short
      return fail("read flows", source, "the line has no end", "the run did not finish");
    GYGES_TRY(nlohmann::json flow, parse_json(line, source));
    GYGES_CHECK(validate_json(flow, "flow", source));
    if (!visit(flow)) return ok();
  }
}

Result<std::string> read_body(const std::filesystem::path& bundle, const nlohmann::json& body) {
  if (!body.is_object() || !body.contains("blob")) return std::string();
  // The schema lets only digits through: the name cannot lead anywhere else.
  return read_file(bundle / "blobs" / body.at("blob").get<std::string>());
}

}  // namespace gyges::network
