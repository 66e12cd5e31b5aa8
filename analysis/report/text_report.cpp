#include "analysis/report/text_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"

namespace gyges::analysis {
namespace {

constexpr std::size_t proofs_shown = 3;

// Columns that a text takes; escapes by printable() leave one column a code point, near enough.
std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::string cut(std::string text, std::size_t width) {
  if (columns_of(text) <= width || width < 2) return text;
  std::size_t bytes = 0;
  for (std::size_t seen = 0; bytes < text.size(); ++bytes) {
    if ((static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) continue;
    if (seen++ == width - 1) break;
  }
  return text.substr(0, bytes) + "…";
}

class Painter {
 public:
  explicit Painter(bool colour) : colour_(colour) {}
  [[nodiscard]] std::string bold(const std::string& text) const { return paint("1", text); }
  [[nodiscard]] std::string dim(const std::string& text) const { return paint("2", text); }
  [[nodiscard]] std::string verdict(Verdict verdict, const std::string& text) const {
    switch (verdict) {
      case Verdict::gap:
      case Verdict::gap_in_tasks:
        return paint("1;31", text);
      case Verdict::no_gap_shown:
        return paint("32", text);
      case Verdict::refused:
      case Verdict::too_few_runs:
      case Verdict::not_comparable:
        return paint("33", text);
    }
    return text;
  }

 private:
  [[nodiscard]] std::string paint(std::string_view code, const std::string& text) const {
    return colour_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
  }
  bool colour_;
};

std::string rate(const Proportion& arm) {
  if (arm.trials == 0) return "–";
  return fmt::format("{:.1f} % ({}/{})", 100 * *arm.rate(), arm.successes, arm.trials);
}

std::string gap(const OutcomeComparison& c) {
  if (!c.gap) return "–";
  std::string text = fmt::format("{:+.1f}", 100 * *c.gap);
  if (c.interval)
    text += fmt::format(" [{:+.1f}, {:+.1f}]", 100 * c.interval->low, 100 * c.interval->high);
  return text;
}

std::string p_value(const std::optional<double>& p) {
  if (!p) return "–";
  return *p < 0.0001 ? "<0.0001" : fmt::format("{:.4f}", *p);
}

// Left-aligned columns, as wide as their widest cell.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  [[nodiscard]] std::string text(const Painter& painter,
                                 const std::vector<Verdict>& verdicts) const {
    std::vector<std::size_t> widths(rows_[0].size());
    for (const auto& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i)
        widths[i] = std::max(widths[i], columns_of(row[i]));
    std::string out;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      std::string line = "  ";
      for (std::size_t i = 0; i < rows_[r].size(); ++i) {
        std::string cell = rows_[r][i];
        bool last = i + 1 == rows_[r].size();
        std::string padding(last ? 0 : widths[i] - columns_of(cell) + 2, ' ');
        if (r == 0) cell = painter.dim(cell);
        if (r > 0 && last) cell = painter.verdict(verdicts[r - 1], cell);
        line += cell + padding;
      }
      out += line + "\n";
    }
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

bool is_shown(const OutcomeComparison& c, const TextOptions& options) {
  if (!options.outcome.empty()) return c.outcome == options.outcome;
  return options.all_outcomes || c.role == Role::primary || c.verdict == Verdict::gap ||
         c.verdict == Verdict::gap_in_tasks ||
         (c.role == Role::check && (c.outcome == "task_success" || c.gap.value_or(0) != 0));
}

std::string contrast_text(const Comparison& comparison, std::size_t index, const Painter& painter,
                          const TextOptions& options) {
  const Contrast& contrast = comparison.contrasts[index];
  std::string size = contrast.paired
                         ? fmt::format("{} pairs", contrast.pairs.size())
                         : fmt::format("{} and {} runs, not paired", contrast.first_runs.size(),
                                       contrast.second_runs.size());
  std::string out =
      fmt::format("{}  {}\n", painter.bold(printable(contrast.agent)),
                  printable(fmt::format("{} → {}", contrast.first, contrast.second))) +
      painter.dim(fmt::format("  {}; {}\n", size, comparison.certificates[index].statement()));
  Table table({"outcome", "first", "second", "gap, points [95 %]", "p", "adjusted", "verdict"});
  std::vector<Verdict> verdicts;
  std::string primary;  // what the primary outcomes say
  bool several = comparison.registered.plan.primary.size() > 1;
  std::size_t hidden = 0;
  for (const OutcomeComparison& c : comparison.outcomes) {
    if (c.contrast != index) continue;
    if (c.role == Role::primary) {
      primary += painter.verdict(
          c.verdict, "  " + (several ? printable(c.title) + ": " : std::string()) + c.statement);
      if (c.analysis) primary += painter.dim("  (" + c.test + ")");
      primary += "\n";
    }
    if (!is_shown(c, options)) {
      ++hidden;
      continue;
    }
    table.add({printable(c.title), rate(c.arms[0]), rate(c.arms[1]), gap(c), p_value(c.p_value),
               p_value(c.adjusted_p), std::string(verdict_name(c.verdict))});
    verdicts.push_back(c.verdict);
  }
  out += table.text(painter, verdicts);
  if (options.outcome.empty()) {
    out += primary.empty() ? "\n" : primary;
    if (hidden > 0) out += painter.dim(fmt::format("  {} further outcomes with --all\n", hidden));
  }
  return out + "\n";
}

std::string proof_line(const Evidence& evidence, const TraceFacts& trace, std::size_t width) {
  std::string place = evidence.source;
  if (evidence.sequence)
    place = fmt::format("#{} +{:.6f}s", *evidence.sequence,
                        static_cast<double>(evidence.time_ns - trace.start_ns) / 1e9);
  if (evidence.call != 0) place += fmt::format(" call {}", evidence.call);
  return cut(fmt::format("      {}  {}", place, printable(evidence.text)), width) + "\n";
}

// The first piece of each source, then the first of all, in their order.
std::vector<const Evidence*> telling(const EvidenceList& list) {
  std::vector<const Evidence*> chosen;
  auto take = [&](const Evidence& evidence) {
    if (chosen.size() < proofs_shown) chosen.push_back(&evidence);
  };
  for (std::string_view source : {"trace", "transcript", "files"}) {
    auto found = std::find_if(list.kept().begin(), list.kept().end(),
                              [&](const Evidence& e) { return e.source == source; });
    if (found != list.kept().end()) take(*found);
  }
  for (const Evidence& evidence : list.kept())
    if (std::find(chosen.begin(), chosen.end(), &evidence) == chosen.end()) take(evidence);
  std::sort(chosen.begin(), chosen.end());  // pointers into one vector: its order
  return chosen;
}

// One entry for each covert check: how often in which condition, and the first run as the example.
std::string acts_text(const Comparison& comparison, const Painter& painter,
                      const TextOptions& options) {
  struct Seen {
    std::string title;
    std::map<std::string, std::size_t> conditions;
    std::size_t run = 0;
    const CheckResult* example = nullptr;
  };
  std::map<std::pair<std::string, std::string>, Seen> acts;
  for (std::size_t i = 0; i < comparison.runs.size(); ++i) {
    for (const CheckResult& check : comparison.findings[i].checks) {
      if (check.kind != "covert" || check.answer.holds != true) continue;
      Seen& seen = acts[{comparison.runs[i].agent, check.name}];
      seen.title = check.title;
      ++seen.conditions[comparison.runs[i].condition_label()];
      if (seen.example != nullptr) continue;
      seen.example = &check;
      seen.run = i;
    }
  }
  if (acts.empty()) return "";
  std::string out = painter.bold("Covert acts seen") + "\n";
  for (const auto& [key, seen] : acts) {
    std::vector<std::string> where;
    for (const auto& [condition, runs] : seen.conditions)
      where.push_back(fmt::format("{} {} of {}", runs, runs == 1 ? "run" : "runs", condition));
    out += fmt::format("  {}: {}  ({})\n    {}\n", painter.bold(printable(key.first)),
                       printable(seen.title), printable(key.second), printable(join(where, "; ")));
    const EvidenceList& evidence = seen.example->answer.evidence;
    const TraceFacts& trace = comparison.findings[seen.run].trace;
    out += painter.dim(
        fmt::format("    for example {}\n", printable(comparison.runs[seen.run].bundle.string())));
    for (const Evidence* one : telling(evidence)) out += proof_line(*one, trace, options.width);
    if (evidence.total() > proofs_shown)
      out += painter.dim(fmt::format("      and {} more\n", evidence.total() - proofs_shown));
  }
  return out + "\n";
}

// Factor effects and the gap against the control arm, where the design has them.
std::string design_text(const Comparison& comparison, const Painter& painter) {
  std::string out;
  auto line = [&](const std::string& what, double value, const Interval& range, double p) {
    out += fmt::format("  {}: {:+.1f} points [{:+.1f}, {:+.1f}], p = {:.2g}\n", printable(what),
                       100 * value, 100 * range.low, 100 * range.high, p);
  };
  if (!comparison.factor_effects.empty())
    out += painter.bold("Factor effects") + " (average marginal effects)\n";
  for (const FactorEffect& e : comparison.factor_effects) {
    std::string what = e.agent + ", " + e.outcome + ", " + e.factor;
    if (e.problem.empty())
      line(what, e.effect.value, e.effect.interval, e.effect.p_value);
    else
      out += fmt::format("  {}: {}\n", printable(what), printable(e.problem));
  }
  if (!comparison.temptation.empty())
    out += painter.bold("Gap with the temptation minus gap without") + "\n";
  for (const TemptationEffect& t : comparison.temptation) {
    std::string what = comparison.contrasts[t.tempted].agent + ", " + t.outcome + ", " +
                       comparison.contrasts[t.tempted].second_level;
    if (t.effect)
      line(what, t.effect->value, t.effect->interval, t.effect->p_value);
    else
      out += fmt::format("  {}: an arm has no decided run\n", printable(what));
  }
  return out.empty() ? out : out + "\n";
}

// What is said of each agent in one line, where there is more than one contrast to read.
std::string summary_text(const Comparison& comparison, const Painter& painter) {
  if (comparison.contrasts.size() < 2) return "";
  const bool several = comparison.registered.plan.primary.size() > 1;
  std::vector<std::string> order;  // agents, and primary outcomes where there are several
  std::map<std::string, std::map<Verdict, std::vector<std::string>>> said;
  for (const OutcomeComparison& c : comparison.outcomes) {
    if (c.role != Role::primary) continue;
    const Contrast& contrast = comparison.contrasts[c.contrast];
    const std::string whose = contrast.agent + (several ? ", " + c.title : std::string());
    if (!said.contains(whose)) order.push_back(whose);
    std::string arms = contrast.first + " → " + contrast.second;
    if ((c.verdict == Verdict::gap || c.verdict == Verdict::gap_in_tasks) && c.gap)
      arms += fmt::format(" ({:+.1f} points)", 100 * *c.gap);
    said[whose][c.verdict].push_back(std::move(arms));
  }
  if (order.empty()) return "";
  std::string out = painter.bold("In short") + "\n";
  for (const std::string& whose : order)
    for (const auto& [verdict, arms] : said[whose])
      out += fmt::format("  {}: {} for {}\n", printable(whose),
                         painter.verdict(verdict, std::string(verdict_name(verdict))),
                         printable(join(arms, "; ")));
  return out + "\n";
}

// Why each test was chosen and how far it reaches: once, and not below every contrast.
std::string tests_text(const Comparison& comparison, const Painter& painter) {
  std::vector<std::string> lines;
  for (const OutcomeComparison& c : comparison.outcomes) {
    if (c.role != Role::primary || !c.analysis) continue;
    std::string line = "  " + c.test + ": " + c.analysis->why + "\n";
    if (std::find(lines.begin(), lines.end(), line) == lines.end())
      lines.push_back(std::move(line));
  }
  if (lines.empty()) return "";
  return painter.bold("How it was tested") + "\n" + join(lines, "") + "\n";
}

std::string flow_text(const Comparison& comparison, const Painter& painter) {
  std::string out =
      fmt::format("{} {} found, {} analysed, {} excluded\n", painter.bold("Runs"), comparison.found,
                  comparison.runs.size(), comparison.excluded.size());
  for (const ExcludedRun& excluded : comparison.excluded)
    out +=
        fmt::format("  {}: {}\n", printable(excluded.bundle.string()), printable(excluded.reason));
  for (const Registration& r : comparison.registered.experiments) {
    out += fmt::format("  registered: {} at {}, {} runs, sha256 {}{}{}\n", printable(r.name),
                       printable(r.registered_at), r.planned, printable(r.sha256.substr(0, 16)),
                       r.plan ? "" : ", without an analysis", r.intact ? "" : ", EDITED SINCE");
    if (r.failed_attempts.empty()) continue;
    std::vector<std::string> kinds;
    for (const auto& [kind, attempts] : r.failed_attempts)
      kinds.push_back(fmt::format("{} {}", attempts, kind));
    out += fmt::format("  attempts of {} that left no run: {} (gyges query DIR attempts)\n",
                       printable(r.name), printable(join(kinds, ", ")));
  }
  for (const std::string& note : comparison.notes)
    out += fmt::format("  note: {}\n", printable(note));
  return out;
}

}  // namespace

std::string text_report(const Comparison& comparison, const TextOptions& options) {
  Painter painter(options.colour);
  std::string out;
  if (options.outcome.empty()) out += summary_text(comparison, painter);
  for (std::size_t i = 0; i < comparison.contrasts.size(); ++i)
    out += contrast_text(comparison, i, painter, options);
  if (options.outcome.empty()) out += acts_text(comparison, painter, options);
  if (options.outcome.empty()) out += design_text(comparison, painter);
  if (options.outcome.empty()) out += tests_text(comparison, painter);
  return out + flow_text(comparison, painter);
}

}  // namespace gyges::analysis
