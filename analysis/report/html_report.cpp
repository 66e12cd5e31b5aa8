#include "analysis/report/html_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "analysis/episode/episode.h"
#include "analysis/episode/shown_text.h"
#include "analysis/report/packed_text.h"
#include "analysis/report/report_json.h"
#include "analysis/report/text_report.h"
#include "base/json.h"
#include "base/text.h"
#include "viewer/report_page.h"

namespace gyges::analysis {
namespace {

using Json = nlohmann::json;

constexpr std::size_t least_episode_bytes = 8U << 10U;
constexpr std::size_t most_episode_bytes = 400U << 10U;
constexpr std::size_t least_row_bytes = 8;  // of a row of system calls in the file; most have more

// Base64 makes four bytes of three.
constexpr std::size_t in_file(std::size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

// Runs whose episodes go into the file, in ascending order: all, or those that prove something and
// their partners, then the others as they come.
std::vector<std::size_t> chosen_runs(const Comparison& comparison, std::size_t room) {
  std::set<std::size_t> chosen;
  auto take = [&](std::size_t run) {
    if (chosen.size() < room) chosen.insert(run);
  };
  for (std::size_t run = 0; run < comparison.runs.size(); ++run)
    if (comparison.findings[run].covert.holds == true) take(run);
  for (const Contrast& contrast : comparison.contrasts)
    for (const RunPair& pair : contrast.pairs)
      if (comparison.findings[pair.first].covert.holds == true ||
          comparison.findings[pair.second].covert.holds == true) {
        take(pair.first);
        take(pair.second);
      }
  for (std::size_t run = 0; run < comparison.runs.size(); ++run) take(run);
  return {chosen.begin(), chosen.end()};
}

struct PackedEpisode {
  std::string packed;  // gzip
  std::string problem;
};

// With the widest limits under which it fits. The trace is read once; what would be far too large,
// by its rows or by the size of the last try, is not tried.
PackedEpisode pack_episode(const Run& run, const Findings& findings, std::size_t bytes) {
  PackedEpisode result;
  TraceView view = view_trace(run, findings, file_limits[0]);
  for (std::size_t level = 0; level < std::size(file_limits);) {
    std::size_t rows = std::min(file_limits[level].rows, view.rows.size());
    if (level + 1 < std::size(file_limits) && rows * least_row_bytes > bytes) {
      ++level;
      continue;
    }
    if (level > 0) view = narrowed(std::move(view), file_limits[level]);
    Result<std::string> packed = gzip(load_episode(run, findings, file_limits[level], view));
    if (!packed) {
      result.problem = packed.error().line();
      result.packed.clear();
      return result;
    }
    std::size_t size = in_file(packed->size());
    if (size <= bytes) {
      result.problem.clear();
      result.packed = std::move(*packed);
      return result;
    }
    result.problem = "it is too large for this file";
    rows = file_limits[level++].rows;
    while (level + 1 < std::size(file_limits) && size / rows * file_limits[level].rows > 2 * bytes)
      ++level;
  }
  return result;
}

std::vector<PackedEpisode> pack_episodes(const Comparison& comparison,
                                         const std::vector<std::size_t>& chosen, std::size_t bytes,
                                         unsigned threads) {
  std::vector<PackedEpisode> episodes(chosen.size());
  std::atomic<std::size_t> next = 0;
  auto work = [&] {
    for (std::size_t i = next++; i < chosen.size(); i = next++)
      episodes[i] = pack_episode(comparison.runs[chosen[i]], comparison.findings[chosen[i]], bytes);
  };
  unsigned wanted =
      threads != 0 ? threads : std::clamp(std::thread::hardware_concurrency(), 1U, 8U);
  std::vector<std::jthread> workers;
  for (unsigned i = 1; i < wanted && i < chosen.size(); ++i) workers.emplace_back(work);
  work();
  workers.clear();
  return episodes;
}

// Text of an element's content.
std::string escaped(std::string_view text) {
  std::string safe;
  for (char c : text) {
    if (c == '<')
      safe += "&lt;";
    else if (c == '&')
      safe += "&amp;";
    else
      safe += c;
  }
  return safe;
}

std::string block(const std::string& id, std::string_view packed) {
  return "<script type=\"application/octet-stream\" id=\"" + id + "\">" + base64(packed) +
         "</script>\n";
}

Result<std::string> put(std::string_view page, std::string_view mark, std::string_view text) {
  std::size_t at = page.find(mark);
  if (at == std::string_view::npos)
    return fail("make report", "report.html", "the mark " + std::string(mark) + " is missing",
                "build from an intact source tree");
  std::string result(page.substr(0, at));
  result += text;
  result += page.substr(at + mark.size());
  return result;
}

}  // namespace

Result<std::string> html_report(const Comparison& comparison, const HtmlOptions& options,
                                const Json& more) {
  std::size_t room = options.episode_bytes / least_episode_bytes;
  std::vector<std::size_t> chosen = chosen_runs(comparison, room);
  std::size_t each = chosen.empty() ? 0
                                    : std::clamp(options.episode_bytes / chosen.size(),
                                                 least_episode_bytes, most_episode_bytes);
  std::vector<PackedEpisode> episodes = pack_episodes(comparison, chosen, each, options.threads);
  Json report = report_json_with_timeline(comparison);
  report.update(more);
  report["served"] = false;
  std::string blocks;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    Json& run = report["runs"][chosen[i]];
    run["episode"] = episodes[i].problem.empty();
    if (episodes[i].problem.empty())
      blocks += block(fmt::format("episode-{}", chosen[i]), episodes[i].packed);
  }
  std::string_view front_end = viewer::report_page();
  GYGES_TRY(std::string packed_report, gzip(json_text(printable_texts(std::move(report)), -1)));
  // Nothing that is put in holds "<!--": it is escaped or base64.
  GYGES_TRY(std::string page, put(front_end, "<!--EPISODES-->", blocks));
  GYGES_TRY(page, put(page, "<!--DATA-->", block("data", packed_report)));
  TextOptions everything;
  return put(page, "<!--TEXT-->", escaped(text_report(comparison, everything)));
}

}  // namespace gyges::analysis
