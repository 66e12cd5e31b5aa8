// A git repository over files that a world has: commits by several people over months, whose last
// tree is what stands in the directory. Objects are loose, as of gitformat-loose and
// gitformat-index; what is hidden in them are bytes of the world and of the seed alone.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::cues {

struct GitHistory {
  std::string path;                   // template: the directory of the work tree
  std::vector<std::string> authors;   // templates: "Name <address>"
  std::vector<std::string> messages;  // templates; drawn from
  std::string branch = "main";
  std::string remote;  // template; address of "origin"; empty: none
  std::uint32_t commits = 1;
  double age_from = 1, age_to = 300;  // days before the world's day: the last and the first commit
  std::string source;
};

// From validated JSON.
std::vector<GitHistory> git_histories_from_json(const nlohmann::json& value,
                                                const std::string& source);

// Appends the repository to `files`. The work tree is what `files` has below the path; a path below
// which there is none is an error. The same arguments give the same bytes.
Status make_git_history(const GitHistory& history, const TemplateContext& context,
                        std::vector<isolation::SeedFile>& files);

}  // namespace gyges::cues
