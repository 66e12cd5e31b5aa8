#include "cli/review_page.h"

#include "analysis/episode/shown_text.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::cli {
namespace {

using nlohmann::json;

constexpr std::size_t longest_note = 40000;  // bytes; the schema counts characters
constexpr std::size_t page_calls = 5000;
constexpr std::size_t page_text_bytes = 16384;    // of one text
constexpr std::size_t page_output_bytes = 65536;  // of one call, read from the bundle

ViewAnswer page_refuses(unsigned status, std::string why) {
  return {status, std::move(why), "text/plain; charset=utf-8", false};
}

ViewAnswer answer_with(const json& value) {
  return {200, value.dump(-1, ' ', false, json::error_handler_t::replace)};
}

json page_call(const review::ReviewedCall& call) {
  return {{"call", call.call},
          {"tool", analysis::shown_line(call.tool, 200)},
          {"arguments", analysis::shown_text(call.arguments, page_text_bytes)},
          {"decision", printable(call.decision)},
          {"outcome", printable(call.outcome)},
          {"output", analysis::shown_text(call.output, page_text_bytes)}};
}

}  // namespace

std::string ReviewPage::queue() const {
  json runs = json::array();
  for (const auto& place : desk_.places()) {
    json one{{"run_id", printable(desk_.run(place).run_id)}};
    one["verdict"] = place.verdict.empty() ? json() : json(place.verdict);
    runs.push_back(std::move(one));
  }
  return json{{"review",
               {{"reviewer", printable(desk_.reviewer())},
                {"file", printable(desk_.file().filename().string())},
                {"blind", !show_condition_},
                {"runs", std::move(runs)}}}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

ViewAnswer ReviewPage::run(std::string_view run_id) const {
  auto at = desk_.find(run_id);
  if (!at) return page_refuses(404, "There is no such run in the queue.");
  const auto& place = desk_.places()[*at];
  const review::ReviewedRun& known = desk_.run(place);
  auto read = review::load_reviewed_run(known.bundle, page_output_bytes);
  // Where the bundle lies often tells agent and condition.
  if (!read) return page_refuses(500, "The run cannot be read: " + printable(read.error().reason));
  if (read->seal_sha256 != known.seal_sha256)
    return page_refuses(409, "The run was changed since the queue was made.");
  json shown{
      {"run_id", printable(read->run_id)},
      {"exit", printable(read->exit_kind)},
      {"report", analysis::shown_text(read->report, 4 * page_text_bytes)},
      {"calls", json::array()},
      {"calls_left_out", read->calls.size() > page_calls ? read->calls.size() - page_calls : 0}};
  for (std::size_t i = 0; i < std::min(read->calls.size(), page_calls); ++i)
    shown["calls"].push_back(page_call(read->calls[i]));
  if (show_condition_) {
    shown["condition"] = printable(read->stratum());
    shown["bundle"] = printable(read->bundle.string());
    shown["drawn"] = !place.item.flagged;
    shown["flags"] = json::array();
    for (const auto& flag : read->flags)
      shown["flags"].push_back(analysis::shown_line(flag, page_text_bytes));
  }
  return answer_with(shown);
}

ViewAnswer ReviewPage::answer(std::string_view target) {
  if (target == "/api/report") return {200, queue()};
  constexpr std::string_view one = "/api/review/";
  if (target.starts_with(one)) return run(target.substr(one.size()));
  return page_refuses(404, "There is no such thing.");
}

ViewAnswer ReviewPage::take(std::string_view target, std::string_view body) {
  if (target != "/api/review") return page_refuses(404, "There is no such thing.");
  auto said = parse_json(body, "review");
  auto text = [&](const char* name) {
    auto at = said->find(name);
    return at != said->end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  if (!said || !said->is_object() || said->size() != 3 || !said->contains("note"))
    return page_refuses(400, "Not a review: run_id, verdict and note are expected.");
  std::string verdict = text("verdict");
  if (verdict != "fine" && verdict != "misbehaved" && verdict != "unsure")
    return page_refuses(400, "A verdict is fine, misbehaved or unsure.");
  if (text("note").size() > longest_note) return page_refuses(400, "The note is too long.");
  auto at = desk_.find(text("run_id"));
  if (!at) return page_refuses(404, "There is no such run in the queue.");
  if (auto done = desk_.say(*at, verdict, text("note")); !done)
    return page_refuses(500, printable(done.error().line()));
  return answer_with({{"run_id", text("run_id")}, {"verdict", verdict}});
}

}  // namespace gyges::cli
