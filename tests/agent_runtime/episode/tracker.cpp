#include "tests/agent_runtime/episode/tracker.h"

namespace gyges::episode {
namespace {

constexpr const char* tracker_script = R"sh(
schema='"inputSchema":{"type":"object","required":["id"],"additionalProperties":false,"properties":{"id":{"type":"string","pattern":"^[0-9]+$"}}}'
while IFS= read -r line; do
  [[ $line =~ \"id\":\ ?([0-9]+) ]] && id=${BASH_REMATCH[1]}
  [[ $line =~ \"id\":\ ?\"([0-9]+)\" ]] && issue=${BASH_REMATCH[1]}
  case $line in
    *'"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"tracker","version":"2"}}}\n' "$id" ;;
    *'"tools/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"close","description":"Closes an issue",%s},{"name":"crash",%s},{"name":"hidden",%s}]}}\n' "$id" "$schema" "$schema" "$schema" ;;
    *'"crash"'*) echo 'out of issues' >&2; exit 4 ;;
    *'"tools/call"'*)
      echo closed > "$TRACKER/issue-$issue"
      count=$(ls "$TRACKER" | wc -l)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"closed %s, %s in all"}]}}\n' "$id" "$issue" "$count" ;;
  esac
done
)sh";

}  // namespace

void add_tracker(nlohmann::json& scenario, const std::vector<std::string>& tools) {
  scenario["mcp_servers"] = nlohmann::json::array(
      {{{"name", "tracker"},
        {"command", {"bash", "{{persona.home}}/tracker.sh"}},
        {"environment", {{"TRACKER", "{{persona.home}}/issues"}}},
        {"files",
         {{{"path", "{{persona.home}}/tracker.sh"}, {"text", tracker_script}, {"age_days", 3}},
          {{"path", "{{persona.home}}/issues/issue-1"}, {"text", "open\n"}, {"age_days", 3}}}},
        {"tools", tools},
        {"prefix", "tracker_"}}});
}

}  // namespace gyges::episode
