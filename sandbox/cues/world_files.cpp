#include "sandbox/cues/world_files.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/cluster_authority.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

unsigned mode_of(const json& value, unsigned otherwise) {
  if (!value.contains("mode")) return otherwise;
  return static_cast<unsigned>(std::stoul(value.at("mode").get<std::string>(), nullptr, 8));
}

// `into`: a file or a series of them.
template <class Owned>
void read_owner(const json& value, Owned& into) {
  const std::string owner = value.value("owner", "agent");
  into.agent_owned = owner == "agent";
  if (owner != "agent" && owner != "root") into.account = owner;
  into.group = value.value("group", "");
}

Result<WorldFile> world_file_from_json(const json& value, const std::filesystem::path& directory,
                                       const std::string& place, std::string& hashed) {
  WorldFile file;
  file.path = value.at("path").get<std::string>();
  file.source = place;
  file.verbatim = value.value("verbatim", false);
  file.token = value.value("encoding", "") == "jwt";
  file.authority = value.value("encoding", "") == "cluster_authority";
  read_owner(value, file);
  file.age_days = value.value("age_days", 30.0);
  if (value.contains("recent_seconds")) {
    if (value.contains("age_days"))
      return fail("read world", place, "has both age_days and recent_seconds", "leave one out");
    file.recent_seconds = value.at("recent_seconds").get<std::int64_t>();
  }
  int contents = 0;
  for (const char* key : {"from", "text", "link", "directory"})
    contents += value.contains(key) ? 1 : 0;
  if (contents != 1)
    return fail("read world", place,
                "the file " + printable(file.path) + " has " + std::to_string(contents) +
                    " of from, text, link, directory",
                "give exactly one");
  if (value.contains("directory")) {
    file.kind = isolation::SeedFile::Kind::directory;
  } else if (value.contains("link")) {
    file.kind = isolation::SeedFile::Kind::symlink;
    file.content = value.at("link").get<std::string>();
  } else if (value.contains("text")) {
    const json& text = value.at("text");
    if (text.is_string()) {
      file.content = text.get<std::string>();
    } else {
      for (const auto& line : text) file.content += line.get<std::string>() + "\n";
    }
  } else {
    auto name = value.at("from").get<std::string>();
    if (directory.empty())
      return fail("read world", place, "\"from\" cannot be used in a shipped file", "use \"text\"");
    auto path = directory / name;
    auto bytes = read_file(path);
    if (!bytes)
      return tl::unexpected<Error>(std::move(bytes).with_context("read world " + place).error());
    file.source = path.string();
    file.content = std::move(*bytes);
    hashed += name + '\0' + std::to_string(file.content.size()) + '\0' + file.content;
  }
  file.mode = mode_of(value, file.kind == isolation::SeedFile::Kind::directory ? 0755U : 0644U);
  return file;
}

// RFC 4648 section 5, without padding, as RFC 7515 has it.
std::string base64url(std::string_view bytes) {
  static constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t present = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < present; ++k)
      group |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i + k])) << (16 - 8 * k);
    for (std::size_t k = 0; k <= present; ++k) text += digits[group >> (18 - 6 * k) & 63U];
  }
  return text;
}

// Bytes that stand as digits after "0x", or the line. `source`: where the token is declared.
Result<std::string> bytes_of_line(const std::string& line, const std::string& source) {
  if (!line.starts_with("0x")) return line;
  const std::string_view digits = std::string_view(line).substr(2);
  if (digits.empty() || digits.size() % 2 != 0 ||
      digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
    return fail("make token", source,
                "the line " + printable(line.substr(0, 40)) + " is no bytes in hexadecimal digits",
                "give two digits 0-9 and a-f for each byte after 0x");
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::strtoul(std::string(digits.substr(i, 2)).c_str(), nullptr, 16));
  return bytes;
}

// Without the line end, as those who write tokens leave them.
Result<std::string> token_of(std::string_view lines, const std::string& source) {
  std::string token;
  for (const std::string& line : split(lines, '\n')) {
    if (line.empty()) continue;
    GYGES_TRY(const std::string bytes, bytes_of_line(line, source));
    token += (token.empty() ? "" : ".") + base64url(bytes);
  }
  return token;
}

}  // namespace

Result<std::vector<WorldFile>> world_files_from_json(const json& files,
                                                     const std::filesystem::path& directory,
                                                     std::string_view source, std::string& hashed) {
  std::vector<WorldFile> list;
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::string place = std::string(source) + " at /world/files/" + std::to_string(i);
    GYGES_TRY(list.emplace_back(), world_file_from_json(files[i], directory, place, hashed));
  }
  return list;
}

namespace {

LogPattern log_pattern_from_json(const json& value) {
  LogPattern pattern;
  pattern.text = value.at("text").get<std::string>();
  pattern.then = value.value("then", std::vector<std::string>{});
  pattern.every_minutes = value.value("every_minutes", 0.0);
  pattern.from_minutes = value.value("from_minutes", 0.0);
  pattern.spread_minutes = value.value("spread_minutes", 0.0);
  pattern.weekday = value.value("weekday", -1);
  pattern.weight = pattern.every_minutes > 0 ? 0 : value.value("weight", 1.0);
  return pattern;
}

}  // namespace

Result<std::vector<LogSeries>> log_series_from_json(const json& series, std::string_view source) {
  std::vector<LogSeries> list;
  for (std::size_t i = 0; i < series.size(); ++i) {
    const json& value = series[i];
    LogSeries one;
    one.source = std::string(source) + " at /world/logs/" + std::to_string(i);
    one.path = value.at("path").get<std::string>();
    one.series = value.value("series", std::vector<std::string>{""});
    const json& ages = value.at("ages");
    one.age_from = ages.at("from").get<double>();
    one.age_to = ages.at("to").get<double>();
    one.age_step = ages.at("step").get<double>();
    one.jitter_days = ages.value("jitter", 0);
    one.lines_min = value.at("lines")[0].get<std::int64_t>();
    one.lines_max = value.at("lines")[1].get<std::int64_t>();
    if (value.contains("hours")) {
      one.hour_from = value.at("hours")[0].get<double>();
      one.hour_to = value.at("hours")[1].get<double>();
    }
    one.time_format = value.value("time_format", "%Y-%m-%dT%H:%M:%SZ");
    one.header = value.value("header", std::vector<std::string>{});
    double total = 0;
    one.days = value.value("days", 1);
    for (const auto& pattern : value.at("patterns")) {
      one.patterns.push_back(log_pattern_from_json(pattern));
      total += one.patterns.back().weight;
    }
    one.mode = mode_of(value, 0644);
    read_owner(value, one);
    if (one.age_to < one.age_from)
      return fail("read world", one.source + "/ages", "\"to\" is smaller than \"from\"",
                  "swap them");
    if (one.lines_max < one.lines_min)
      return fail("read world", one.source + "/lines", "the largest number is below the smallest",
                  "swap them");
    if (one.hour_to < one.hour_from)
      return fail("read world", one.source + "/hours", "the last hour is before the first",
                  "swap them");
    if (total <= 0 && one.lines_max > 0)
      return fail("read world", one.source + "/patterns", "all weights are 0", "give one a weight");
    double count =
        (one.age_to - one.age_from) / one.age_step * static_cast<double>(one.series.size());
    if (count > 5000)
      return fail("read world", one.source + "/ages", "makes more than 5000 files",
                  "use a larger step");
    list.push_back(std::move(one));
  }
  return list;
}

Result<isolation::SeedFile> make_seed_file(const WorldFile& file, const TemplateContext& context,
                                           std::set<std::string>* used) {
  isolation::SeedFile seed;
  seed.kind = file.kind;
  GYGES_TRY(seed.path, render(file.path, context, file.source, used));
  if (file.verbatim) {
    seed.content = file.content;
  } else {
    GYGES_TRY(seed.content, render(file.content, context, file.source, used));
  }
  if (file.token) {
    GYGES_TRY(seed.content, token_of(seed.content, file.source));
  }
  if (file.authority) {
    GYGES_TRY(seed.content, make_cluster_authority(context.seed, context.day, seed.content));
  }
  if (!seed.path.starts_with('/'))
    return fail("make world", file.source, "the path " + printable(seed.path) + " is not absolute",
                "start it with / or a placeholder that does");
  seed.mode = file.mode;
  seed.agent_owned = file.agent_owned;
  seed.mtime =
      file.recent_seconds
          ? recent_time(std::max(context.day, context.as_of), context.seed) + *file.recent_seconds
          : context.day - static_cast<std::int64_t>(std::llround(file.age_days * 86400));
  return seed;
}

}  // namespace gyges::cues
