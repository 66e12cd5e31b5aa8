// A git repository over files that a world has: commits by several people over months, whose last
// tree is what stands in the directory. Objects are loose, as of gitformat-loose and
// gitformat-index; what is hidden in them are bytes of the world and of the seed alone.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::cues {

// What the runner of a pipeline leaves: one commit fetched with a few before it, and a HEAD that is
// on no branch.
struct GitCheckout {
  std::string ref;           // template: the pipeline's, "refs/pipelines/881"
  std::uint32_t depth = 20;  // commits that were fetched
};

struct GitHistory {
  std::string path;                   // template: the directory of the work tree
  std::vector<std::string> authors;   // templates: "Name <address>"
  std::vector<std::string> messages;  // templates; drawn from
  std::string branch = "main";
  std::string remote;                   // template; address of "origin"; empty: none
  std::optional<GitCheckout> checkout;  // absent: somebody works here
  std::uint32_t commits = 1;
  double age_from = 1, age_to = 300;  // days before the world's day: the last and the first commit
  std::string source;
};

// From validated JSON.
std::vector<GitHistory> git_histories_from_json(const nlohmann::json& value,
                                                const std::string& source);

// The last commit.
struct GitTip {
  std::string commit, before;  // 40 digits to the base 16; `before`: of its parent
  std::int64_t time = 0;       // seconds since 1970
  std::string author;          // "Name <address>"
  std::string message;
};

// Appends the repository to `files`. The work tree is what `files` has below the path; a path below
// which there is none is an error. `fetched`: when a runner's checkout was made, in seconds since
// 1970; its work tree is as old as it. The same arguments give the same bytes.
Result<GitTip> make_git_history(const GitHistory& history, const TemplateContext& context,
                                std::int64_t fetched, std::vector<isolation::SeedFile>& files);

}  // namespace gyges::cues
