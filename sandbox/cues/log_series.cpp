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
  enum class Kind { text, time, seq, integer, normal, hex, pick };
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
  if (inside == "time" || inside == "seq") {
    piece.kind = inside == "time" ? Piece::Kind::time : Piece::Kind::seq;
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
  static constexpr std::string_view starts[] = {"time", "seq", "int:", "norm:", "hex:", "pick:"};
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
                  "the tokens are {time} {seq} {int:LOW:HIGH} {norm:MEAN:SPREAD:DECIMALS} "
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

void append_piece(const Piece& piece, const std::string& time, std::size_t sequence,
                  SeededStream& stream, std::string& line) {
  switch (piece.kind) {
    case Piece::Kind::text:
      line += piece.text;
      break;
    case Piece::Kind::time:
      line += time;
      break;
    case Piece::Kind::seq:
      line += std::to_string(sequence);
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
  std::vector<std::vector<Piece>> patterns;
  std::vector<double> bounds;  // cumulative weights
};

Result<Compiled> compile(const LogSeries& series, const TemplateContext& context,
                         std::set<std::string>* used) {
  Compiled compiled;
  double total = 0;
  for (const auto& pattern : series.patterns) {
    GYGES_TRY(std::string text, render(pattern.text, context, series.source, used));
    GYGES_TRY(compiled.patterns.emplace_back(), pieces_of(text, series.source));
    compiled.bounds.push_back(total += pattern.weight);
  }
  return compiled;
}

struct Body {
  std::string text;
  double last = 0;  // time of its last line; 0: there is none
};

// The lines of one file, with times spread over its hours as arrivals are: sorted uniforms.
// `until`: where they end, if that is sooner, with as many lines less.
Body body_of(const LogSeries& series, const Compiled& compiled, std::int64_t day,
             std::int64_t until, SeededStream& stream) {
  auto count = static_cast<std::size_t>(stream.between(series.lines_min, series.lines_max));
  double from = static_cast<double>(day) + series.hour_from * 3600;
  const double whole = (series.hour_to - series.hour_from) * 3600;
  const double span = std::clamp(static_cast<double>(until) - from, 0.0, whole);
  if (span < whole) count = static_cast<std::size_t>(static_cast<double>(count) * span / whole);
  std::vector<double> times(count);
  for (double& time : times) time = from + stream.uniform() * span;
  std::sort(times.begin(), times.end());
  std::string body;
  for (std::size_t i = 0; i < count; ++i) {
    double at = stream.uniform() * compiled.bounds.back();
    auto which = static_cast<std::size_t>(
        std::upper_bound(compiled.bounds.begin(), compiled.bounds.end() - 1, at) -
        compiled.bounds.begin());
    std::string time = line_time(times[i], series.time_format);
    for (const auto& piece : compiled.patterns[which])
      append_piece(piece, time, i + 1, stream, body);
    body += '\n';
  }
  return {std::move(body), times.empty() ? 0 : times.back()};
}

}  // namespace

Status make_log_files(const LogSeries& series, const TemplateContext& context,
                      std::vector<isolation::SeedFile>& files, std::set<std::string>* used) {
  std::size_t bytes = 0;
  for (const auto& name : series.series) {
    TemplateContext local = context;
    local.values["series"] = name;
    GYGES_TRY(Compiled compiled, compile(series, local, used));
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
        for (const auto& piece : pieces) append_piece(piece, "", index, stream, file.content);
        file.content += '\n';
      }
      // What is written to today ends where the world is seen.
      const bool current = local.day == context.day;
      const std::int64_t until =
          current ? std::max(context.day, context.as_of) : context.day + 86400;
      const Body body = body_of(series, compiled, local.day, until, stream);
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
