#include "analysis/report/html_report.h"

#include "analysis/report/report_json.h"
#include "base/assets.h"
#include "base/json.h"

namespace gyges::analysis {
namespace {

Status put(std::string& page, std::string_view mark, std::string_view text) {
  std::size_t at = page.find(mark);
  if (at == std::string::npos)
    return fail("make report", "viewer/report.html",
                "the mark " + std::string(mark) + " is missing",
                "build from an intact source tree");
  page.replace(at, mark.size(), text);
  return ok();
}

Result<std::string_view> front_end(std::string_view name) {
  std::optional<std::string_view> text = asset(name);
  if (!text)
    return fail("make report", name, "is not part of this binary",
                "build from an intact source tree");
  return *text;
}

}  // namespace

std::string json_for_script(const nlohmann::json& json) {
  std::string text = json_text(json, -1);
  std::string safe;
  safe.reserve(text.size());
  for (char c : text) {
    // Inside JSON these three occur in strings only, where the escape means the same.
    if (c == '<')
      safe += "\\u003c";
    else if (c == '>')
      safe += "\\u003e";
    else if (c == '&')
      safe += "\\u0026";
    else
      safe += c;
  }
  return safe;
}

Result<std::string> html_report(const nlohmann::json& report) {
  GYGES_TRY(std::string_view page_text, front_end("viewer/report.html"));
  GYGES_TRY(std::string_view style, front_end("viewer/report.css"));
  GYGES_TRY(std::string_view script, front_end("viewer/report.js"));
  std::string page(page_text);
  // The data goes in last: nothing in it is taken for a mark.
  GYGES_CHECK(put(page, "/*STYLE*/", style));
  GYGES_CHECK(put(page, "/*SCRIPT*/", script));
  GYGES_CHECK(put(page, "/*DATA*/", json_for_script(report)));
  return page;
}

}  // namespace gyges::analysis
