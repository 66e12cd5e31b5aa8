#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/cues/world_files.h"

namespace gyges::cues {
namespace {

constexpr std::size_t max_series_bytes = 64U << 20U;

// A pattern cut at its tokens once, so that a line costs no parsing. Braces that start no token are
// text: log lines in JSON need no escaping.
struct Piece {
  enum class Kind { text, time, seq, number, integer, normal, hex, pick };
  Kind kind = Kind::text;
  std::string text;
  std::vector<std::string> choices;
  double first = 0, second = 0;
  int decimals = 0;
};

std::optional<double> decimal(const std::string& text) {
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<Piece> token(std::string_view inside) {
  Piece piece;
  auto colon = inside.find(':');
  std::string_view name = inside.substr(0, colon);
  std::string_view rest = colon == std::string_view::npos ? "" : inside.substr(colon + 1);
  if (inside == "time" || inside == "seq" || inside == "pid") {
    piece.kind = inside == "time"  ? Piece::Kind::time
                 : inside == "seq" ? Piece::Kind::seq
                                   : Piece::Kind::number;
    return piece;
  }
  if (colon == std::string_view::npos) return std::nullopt;
  if (name == "pick") {
    piece.kind = Piece::Kind::pick;
    piece.choices = split(rest, '|');
    return piece;
  }
  std::vector<std::string> parts = split(rest, ':');
  std::vector<double> values;
  for (const auto& part : parts) {
    auto value = decimal(part);
    if (!value || std::abs(*value) > 1e15) return std::nullopt;
    values.push_back(*value);
  }
  if (name == "int" && values.size() == 2) {
    piece.kind = Piece::Kind::integer;
  } else if (name == "norm" && values.size() == 3 && values[2] >= 0 && values[2] <= 9) {
    piece.kind = Piece::Kind::normal;
    piece.decimals = static_cast<int>(values[2]);
  } else if (name == "hex" && values.size() == 1 && values[0] >= 0 && values[0] <= 256) {
    piece.kind = Piece::Kind::hex;
  } else {
    return std::nullopt;
  }
  piece.first = values[0];
  piece.second = values.size() > 1 ? values[1] : 0;
  return piece;
}

Result<std::vector<Piece>> pieces_of(const std::string& pattern, const std::string& source) {
  static constexpr std::string_view starts[] = {
      "time", "seq", "pid", "int:", "norm:", "hex:", "pick:"};
  std::vector<Piece> pieces;
  std::string text;
  for (std::size_t at = 0; at < pattern.size();) {
    std::string_view rest = std::string_view(pattern).substr(at);
    bool opens = rest[0] == '{' &&
                 std::any_of(std::begin(starts), std::end(starts),
                             [&](auto start) { return rest.substr(1).starts_with(start); });
    if (!opens) {
      text += pattern[at++];
      continue;
    }
    auto close = rest.find('}');
    auto piece = close == std::string_view::npos ? std::nullopt : token(rest.substr(1, close - 1));
    if (!piece)
      return fail("read log pattern", source,
                  "cannot read the token in " + quoted(rest.substr(0, 40)),
                  "the tokens are {time} {seq} {pid} {int:LOW:HIGH} {norm:MEAN:SPREAD:DECIMALS} "
                  "{hex:DIGITS} {pick:A|B}");
    if (!text.empty()) pieces.push_back({Piece::Kind::text, std::move(text), {}, 0, 0, 0});
    text.clear();
    pieces.push_back(std::move(*piece));
    at += close + 1;
  }
  if (!text.empty()) pieces.push_back({Piece::Kind::text, std::move(text), {}, 0, 0, 0});
  return pieces;
}

std::string line_time(double seconds, const std::string& format) {
  auto whole = static_cast<std::int64_t>(std::floor(seconds));
  std::string text = format_time(whole, format);
  if (auto at = text.find("{ms}"); at != std::string::npos) {
    char digits[8];
    std::snprintf(digits, sizeof digits, "%03d",
                  static_cast<int>((seconds - static_cast<double>(whole)) * 1000));
    text.replace(at, 4, digits);
  }
  return text;
}

struct Line {
  std::string time;
  std::size_t sequence = 0;
  std::uint64_t process = 0;
};

std::uint64_t number_at(const ProcessNumbers& numbers, double time) {
  // Before the start of the machine: of the one before, which ran as long.
  constexpr double earlier = 90 * 86400.0;
  double since = time - static_cast<double>(numbers.started);
  while (since < 0) since += earlier;
  return 400 + static_cast<std::uint64_t>(since * numbers.a_second);
}

void append_piece(const Piece& piece, const Line& of, SeededStream& stream, std::string& line) {
  switch (piece.kind) {
    case Piece::Kind::text:
      line += piece.text;
      break;
    case Piece::Kind::time:
      line += of.time;
      break;
    case Piece::Kind::seq:
      line += std::to_string(of.sequence);
      break;
    case Piece::Kind::number:
      line += std::to_string(of.process);
      break;
    case Piece::Kind::integer:
      line += std::to_string(stream.between(static_cast<std::int64_t>(piece.first),
                                            static_cast<std::int64_t>(piece.second)));
      break;
    case Piece::Kind::normal: {
      char digits[48];
      std::snprintf(digits, sizeof digits, "%.*f", piece.decimals,
                    stream.normal(piece.first, piece.second));
      line += digits;
      break;
    }
    case Piece::Kind::hex:
      line += stream.hex(static_cast<std::size_t>(piece.first));
      break;
    case Piece::Kind::pick:
      line += piece.choices[stream.below(piece.choices.size())];
      break;
  }
}

struct Compiled {
  // Of each pattern its line, and those that follow it.
  std::vector<std::vector<std::vector<Piece>>> patterns;
  std::vector<double> bounds;  // cumulative weights
  bool numbered = false;       // a line has a {pid}
};

Result<Compiled> compile(const LogSeries& series, const TemplateContext& context,
                         std::set<std::string>* used) {
  Compiled compiled;
  double total = 0;
  for (const auto& pattern : series.patterns) {
    std::vector<std::string> texts{pattern.text};
    texts.insert(texts.end(), pattern.then.begin(), pattern.then.end());
    auto& lines = compiled.patterns.emplace_back();
    for (const std::string& template_of : texts) {
      GYGES_TRY(std::string text, render(template_of, context, series.source, used));
      GYGES_TRY(lines.emplace_back(), pieces_of(text, series.source));
      for (const Piece& piece : lines.back())
        compiled.numbered = compiled.numbered || piece.kind == Piece::Kind::number;
    }
    compiled.bounds.push_back(total += pattern.weight);
  }
  return compiled;
}

struct Event {
  double time = 0;
  std::size_t pattern = 0;
  std::size_t line = 0;   // of the pattern's
  std::size_t group = 0;  // lines that one process writes
};

// Those that have a time of their own, on the days of one file.
void add_timed(const LogSeries& series, std::int64_t day, std::int64_t until, SeededStream& stream,
               std::vector<Event>& events) {
  for (std::size_t which = 0; which < series.patterns.size(); ++which) {
    const LogPattern& pattern = series.patterns[which];
    if (pattern.every_minutes <= 0) continue;
    for (int back = series.days - 1; back >= 0; --back) {
      const std::int64_t midnight = day - back * std::int64_t{86400};
      // 1970 began on a Thursday.
      if (pattern.weekday >= 0 && (midnight / 86400 + 4) % 7 != pattern.weekday) continue;
      for (double minute = pattern.from_minutes; minute < 1440; minute += pattern.every_minutes) {
        const double at = minute + stream.uniform() * pattern.spread_minutes;
        const double time = static_cast<double>(midnight) + at * 60;
        if (at < 1440 && time < static_cast<double>(until)) events.push_back({time, which, 0, 0});
      }
    }
  }
}

struct Body {
  std::string text;
  double last = 0;  // time of its last line; 0: there is none
};

// The lines of one file, with times spread over its hours as arrivals are: sorted uniforms; and
// those that come at their times. `until`: where they end, if that is sooner, with as many lines
// less.
Body body_of(const LogSeries& series, const Compiled& compiled, std::int64_t day,
             std::int64_t until, const TemplateContext& context, SeededStream& stream) {
  auto count = static_cast<std::size_t>(stream.between(series.lines_min, series.lines_max));
  double from = static_cast<double>(day) + series.hour_from * 3600;
  const double whole = (series.hour_to - series.hour_from) * 3600;
  const double span = std::clamp(static_cast<double>(until) - from, 0.0, whole);
  if (span < whole) count = static_cast<std::size_t>(static_cast<double>(count) * span / whole);
  std::vector<Event> events(count);
  for (Event& event : events) {
    event.time = from + stream.uniform() * span;
    if (series.days > 1)
      event.time -=
          86400.0 * static_cast<double>(stream.below(static_cast<std::uint64_t>(series.days)));
  }
  auto earlier = [](const Event& a, const Event& b) { return a.time < b.time; };
  std::sort(events.begin(), events.end(), earlier);
  for (Event& event : events) {
    double at = stream.uniform() * compiled.bounds.back();
    event.pattern = static_cast<std::size_t>(
        std::upper_bound(compiled.bounds.begin(), compiled.bounds.end() - 1, at) -
        compiled.bounds.begin());
  }
  add_timed(series, day, until, stream, events);
  std::vector<std::uint64_t> processes;
  std::sort(events.begin(), events.end(), earlier);
  for (std::size_t i = 0, first = events.size(); i < first; ++i) {
    events[i].group = i;
    double time = events[i].time;
    if (compiled.numbered)
      processes.push_back(std::max<std::uint64_t>(processes.empty() ? 1 : processes.back() + 1,
                                                  number_at(*context.numbers, time)));
    for (std::size_t line = 1; line < compiled.patterns[events[i].pattern].size(); ++line) {
      time += stream.uniform() * 2;
      if (time < static_cast<double>(until)) events.push_back({time, events[i].pattern, line, i});
    }
  }
  std::stable_sort(events.begin(), events.end(), earlier);
  std::string body;
  Line line;
  for (const Event& event : events) {
    line.time = line_time(event.time, series.time_format);
    ++line.sequence;
    if (compiled.numbered) line.process = processes[event.group];
    for (const auto& piece : compiled.patterns[event.pattern][event.line])
      append_piece(piece, line, stream, body);
    body += '\n';
  }
  return {std::move(body), events.empty() ? 0 : events.back().time};
}

}  // namespace

Status make_log_files(const LogSeries& series, const TemplateContext& context,
                      std::vector<isolation::SeedFile>& files, std::set<std::string>* used) {
  std::size_t bytes = 0;
  for (const auto& name : series.series) {
    TemplateContext local = context;
    local.values["series"] = name;
    GYGES_TRY(Compiled compiled, compile(series, local, used));
    if (compiled.numbered && !context.numbers)
      return fail("make world", series.source, "{pid} stands for a process of a machine",
                  "use {int:LOW:HIGH} where the persona is none");
    std::size_t index = 0;
    std::int64_t last_day = 0;
    for (double age = series.age_from; age <= series.age_to + 1e-9; age += series.age_step) {
      ++index;
      SeededStream stream(context.seed,
                          "log/" + series.path + "/" + name + "/" + std::to_string(index));
      auto days =
          static_cast<std::int64_t>(std::floor(age)) + stream.between(0, series.jitter_days);
      local.day = context.day - days * 86400;
      if (index > 1 && local.day >= last_day) local.day = last_day - 86400;
      last_day = local.day;
      local.values["index"] = std::to_string(index);
      isolation::SeedFile file;
      GYGES_TRY(file.path, render(series.path, local, series.source, used));
      for (const auto& line : series.header) {
        GYGES_TRY(std::string text, render(line, local, series.source, used));
        GYGES_TRY(std::vector<Piece> pieces, pieces_of(text, series.source));
        for (const auto& piece : pieces) append_piece(piece, {"", index, 0}, stream, file.content);
        file.content += '\n';
      }
      // What is written to today ends where the world is seen.
      const bool current = local.day == context.day;
      const std::int64_t until =
          current ? std::max(context.day, context.as_of) : context.day + 86400;
      const Body body = body_of(series, compiled, local.day, until, context, stream);
      file.content += body.text;
      file.mode = series.mode;
      file.agent_owned = series.agent_owned;
      // Written for the last time shortly after its hours, not on the stroke of midnight.
      double written =
          static_cast<double>(local.day) + series.hour_to * 3600 - 1 + 290 * stream.uniform();
      file.mtime = current && body.last > 0
                       ? static_cast<std::int64_t>(body.last)
                       : std::min(static_cast<std::int64_t>(written), context.day);
      bytes += file.content.size();
      if (bytes > max_series_bytes)
        return fail("make world", series.source, "the series is larger than 64 MiB",
                    "make fewer lines");
      files.push_back(std::move(file));
    }
  }
  return ok();
}

}  // namespace gyges::cues
