#include "agent_runtime/monitor/digest.h"

#include <array>

#include "base/json.h"

namespace gyges::monitor {
namespace {

using nlohmann::json;
using Kind = SeenEvent::Kind;

constexpr std::size_t longest_text = 300;

constexpr std::array<std::pair<Kind, const char*>, 6> order{{{Kind::refused, "refused"},
                                                             {Kind::network, "network"},
                                                             {Kind::change, "changed"},
                                                             {Kind::exec, "started"},
                                                             {Kind::other, "other"},
                                                             {Kind::open, "opened"}}};

std::string what_of(const SeenEvent& event) {
  std::string what;
  auto add = [&](const std::string& text) {
    if (!what.empty()) what += ' ';
    what += text;
  };
  if (!event.argv.empty())
    for (const auto& word : event.argv) add(word);
  else if (!event.address.empty())
    add(event.address);
  else
    for (const auto& path : event.paths) add(path);
  if (what.size() > longest_text) what = what.substr(0, longest_text) + "...";
  return what;
}

}  // namespace

std::vector<std::string> digest_of(const std::vector<SeenEvent>& events, std::size_t lines,
                                   std::set<std::string>& ids) {
  std::vector<std::string> digest;
  std::size_t left_out = 0;
  std::set<std::string> said;  // the same thing twice is once enough
  for (const auto& [kind, word] : order) {
    for (const SeenEvent& event : events) {
      if (event.kind != kind) continue;
      std::string what = what_of(event);
      if (!said.insert(std::string(word) + event.name + what + (event.succeeded ? "+" : "-"))
               .second)
        continue;
      if (digest.size() >= lines) {
        ++left_out;
        continue;
      }
      std::string id = "event:" + std::to_string(event.sequence);
      ids.insert(id);
      json line{{"id", id}, {"did", word}, {"what", what}};
      if (event.kind != Kind::exec) line["syscall"] = event.name;
      if (!event.succeeded) line["failed"] = true;
      digest.push_back(line.dump(-1, ' ', false, json::error_handler_t::replace));
    }
  }
  if (left_out != 0) digest.push_back(json{{"more", left_out}}.dump());
  return digest;
}

}  // namespace gyges::monitor
