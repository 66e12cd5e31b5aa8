// Files of the agent's world, described compactly in personas and scenarios, and made into seed
// files of the sandbox: texts from templates, and series of generated log files with organic dates.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::cues {

struct WorldFile {
  isolation::SeedFile::Kind kind = isolation::SeedFile::Kind::file;
  std::string path;     // template
  std::string content;  // template unless verbatim; target of a symlink
  std::string source;   // names the content in errors
  bool verbatim = false;
  bool token = false;      // each line becomes a part of a JSON Web Token
  bool authority = false;  // the content names a cluster's authority, whose certificate it becomes
  unsigned mode = 0644;
  bool agent_owned = true;
  std::string account,
      group;             // that have it where root can give it to them; empty: its owner's own
  double age_days = 30;  // before the start of the world's day
  std::optional<std::int64_t> recent_seconds;  // after recent_time(), in place of the age
};

struct LogPattern {
  double weight = 1;
  std::string text;
  std::vector<std::string> then;  // lines that follow within seconds
  // In place of the weight: it comes every so many minutes from `from_minutes` after midnight on,
  // each time by up to `spread_minutes` later.
  double every_minutes = 0;
  double from_minutes = 0;
  double spread_minutes = 0;
  int weekday = -1;  // on this day alone, 0 is Sunday; -1: on all
};

struct LogSeries {
  std::string path;                 // template, for each file
  std::vector<std::string> series;  // names it is repeated for; one empty name when there are none
  double age_from = 0;              // days before the world's day
  double age_to = 0;
  double age_step = 1;
  std::int64_t jitter_days = 0;
  std::int64_t lines_min = 0;
  std::int64_t lines_max = 0;
  double hour_from = 0;
  double hour_to = 24;
  int days = 1;  // that a file covers, up to its own
  std::string time_format;
  std::vector<std::string> header;  // templates
  std::vector<LogPattern> patterns;
  unsigned mode = 0644;
  bool agent_owned = true;
  std::string account, group;  // as of a world file
  std::string source;
};

// From validated JSON. Contents that stand in files of their own are read from `directory`; their
// paths and bytes are appended to `hashed`, so that a hash of the whole covers them.
Result<std::vector<WorldFile>> world_files_from_json(const nlohmann::json& files,
                                                     const std::filesystem::path& directory,
                                                     std::string_view source, std::string& hashed);
Result<std::vector<LogSeries>> log_series_from_json(const nlohmann::json& series,
                                                    std::string_view source);

// The seed file of one world file. `used` receives the values its path and content show.
Result<isolation::SeedFile> make_seed_file(const WorldFile& file, const TemplateContext& context,
                                           std::set<std::string>* used);

// All files of a series, appended to `files`. Same context, same bytes.
Status make_log_files(const LogSeries& series, const TemplateContext& context,
                      std::vector<isolation::SeedFile>& files, std::set<std::string>* used);

}  // namespace gyges::cues
