#include "sandbox/cues/git_history.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

using Id = std::string;  // 20 bytes

Id id_of(const std::string& bytes) {
  const Sha1 hash = gyges::sha1(bytes);
  return {hash.begin(), hash.end()};
}

std::string hex(const Id& id) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const char c : id) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

void put32(std::string& to, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(value >> shift & 0xffU);
}

// A zlib stream of stored blocks (RFC 1950, RFC 1951): not compressed, and read by every zlib.
std::string stored_stream(const std::string& bytes) {
  constexpr std::size_t longest_block = 65535;
  std::string stream("\x78\x01", 2);
  for (std::size_t at = 0; at < bytes.size() || at == 0; at += longest_block) {
    const std::size_t length = std::min(longest_block, bytes.size() - at);
    stream += at + length >= bytes.size() ? '\1' : '\0';
    for (const std::size_t field : {length, ~length}) {
      stream += static_cast<char>(field & 0xffU);
      stream += static_cast<char>(field >> 8U & 0xffU);
    }
    stream += bytes.substr(at, length);
    if (bytes.empty()) break;
  }
  std::uint32_t low = 1;
  std::uint32_t high = 0;
  for (const char c : bytes) {
    low = (low + static_cast<unsigned char>(c)) % 65521;
    high = (high + low) % 65521;
  }
  put32(stream, high << 16U | low);
  return stream;
}

using WorkTree = std::map<std::string, std::string>;  // content by path in the work tree

class Repository {
 public:
  // `fetched`: when all of it was written, where that was not commit by commit.
  Repository(std::string directory, std::vector<isolation::SeedFile>& files,
             std::optional<std::int64_t> fetched)
      : directory_(std::move(directory)), files_(files), fetched_(fetched) {}

  // Whether the objects that follow are here, or only their numbers are known.
  void keep(bool here) { keep_ = here; }

  Id object(const std::string& kind, const std::string& content, std::int64_t time) {
    const std::string bytes = kind + " " + std::to_string(content.size()) + '\0' + content;
    Id id = id_of(bytes);
    const std::string name = hex(id);
    const std::string path = "objects/" + name.substr(0, 2) + "/" + name.substr(2);
    if (keep_ && made_.emplace(path, true).second) file(path, stored_stream(bytes), time, 0444);
    return id;
  }

  // Trees of all directories below `prefix`, the innermost first.
  Id tree(const WorkTree& content, const std::string& prefix, std::int64_t time) {
    std::map<std::string, std::string> rows;  // by name, directories as git sorts them: with a /
    for (auto it = content.lower_bound(prefix);
         it != content.end() && it->first.starts_with(prefix); ++it) {
      const std::string rest = it->first.substr(prefix.size());
      const std::size_t slash = rest.find('/');
      if (slash == std::string::npos)
        rows[rest] = "100644 " + rest + '\0' + object("blob", it->second, time);
      else if (const std::string name = rest.substr(0, slash); !rows.contains(name + "/"))
        rows[name + "/"] = "40000 " + name + '\0' + tree(content, prefix + name + "/", time);
    }
    std::string bytes;
    for (const auto& [name, row] : rows) bytes += row;
    return object("tree", bytes, time);
  }

  // Version 2, with what git looks up itself where it is zero.
  void index(const WorkTree& content, std::int64_t time) {
    std::string bytes = "DIRC";
    put32(bytes, 2);
    put32(bytes, static_cast<std::uint32_t>(content.size()));
    for (const auto& [path, text] : content) {
      const std::size_t start = bytes.size();
      bytes.append(24, '\0');  // times, device, inode
      put32(bytes, 0100644);
      bytes.append(8, '\0');  // owner
      put32(bytes, static_cast<std::uint32_t>(text.size()));
      bytes += id_of("blob " + std::to_string(text.size()) + '\0' + text);
      bytes += static_cast<char>(path.size() >> 8U & 0x0fU);
      bytes += static_cast<char>(path.size() & 0xffU);
      bytes += path;
      do bytes += '\0';
      while ((bytes.size() - start) % 8 != 0);
    }
    bytes += id_of(bytes);
    file("index", std::move(bytes), time);
  }

  void file(const std::string& path, std::string content, std::int64_t time, unsigned mode = 0644) {
    isolation::SeedFile one;
    one.path = directory_ + "/.git/" + path;
    one.content = std::move(content);
    one.mode = mode;
    one.mtime = fetched_.value_or(time);
    files_.push_back(std::move(one));
  }

  void directory(const std::string& path, std::int64_t time) {
    file(path, "", time, 0755);
    files_.back().kind = isolation::SeedFile::Kind::directory;
  }

 private:
  std::string directory_;
  std::vector<isolation::SeedFile>& files_;
  std::map<std::string, bool> made_;
  std::optional<std::int64_t> fetched_;
  bool keep_ = true;
};

// A file as it was when `share` of its history was behind it: its first lines.
std::string earlier(const std::string& content, double share) {
  const std::vector<std::string> lines = split(content, '\n');
  const auto kept = static_cast<std::size_t>(
      std::ceil(static_cast<double>(lines.size()) * std::clamp(share, 0.0, 1.0)));
  if (kept >= lines.size()) return content;
  std::string text;
  for (std::size_t i = 0; i < kept; ++i) text += lines[i] + "\n";
  return text;
}

WorkTree work_tree(const std::string& directory, const std::vector<isolation::SeedFile>& files) {
  WorkTree tree;
  for (const isolation::SeedFile& file : files)
    if (file.kind == isolation::SeedFile::Kind::file && file.path.starts_with(directory + "/"))
      tree[file.path.substr(directory.size() + 1)] = file.content;
  return tree;
}

constexpr const char* core_section =
    "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
    "\tlogallrefupdates = true\n";

std::string origin_section(const std::string& remote) {
  return "[remote \"origin\"]\n\turl = " + remote +
         "\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n";
}

// As git records an update of a ref.
std::string log_line(const Id& from, const Id& to, const std::string& stamp,
                     const std::string& what) {
  return (from.empty() ? std::string(40, '0') : hex(from)) + " " + hex(to) + " " + stamp + "\t" +
         what + "\n";
}

// Where somebody works: on a branch, with a log of every commit.
Status put_work_state(const GitHistory& history, const TemplateContext& context, const Id& tip,
                      const std::string& log, std::int64_t first, std::int64_t latest,
                      Repository& repository) {
  std::string config = core_section;
  if (!history.remote.empty()) {
    GYGES_TRY(std::string remote, render(history.remote, context, history.source));
    config += origin_section(remote) + "[branch \"" + history.branch +
              "\"]\n\tremote = origin\n\tmerge = refs/heads/" + history.branch + "\n";
    repository.file("refs/remotes/origin/" + history.branch, hex(tip) + "\n", latest);
  }
  repository.file("HEAD", "ref: refs/heads/" + history.branch + "\n", first);
  repository.file("config", std::move(config), first);
  repository.file("description",
                  "Unnamed repository; edit this file 'description' to name the repository.\n",
                  first);
  repository.file("refs/heads/" + history.branch, hex(tip) + "\n", latest);
  repository.file("logs/HEAD", log, latest);
  repository.file("logs/refs/heads/" + history.branch, log, latest);
  return ok();
}

// What git leaves of a runner's commands: init from a template of its own, fetch of two refs, and a
// checkout of the commit. They run as root of the runner's helper, which has no name for git.
Status put_checkout_state(const GitHistory& history, const TemplateContext& context, const Id& tip,
                          const Id& oldest, std::int64_t fetched, Repository& repository) {
  const GitCheckout& checkout = *history.checkout;
  GYGES_TRY(std::string ref, render(checkout.ref, context, history.source));
  GYGES_TRY(std::string remote, render(history.remote, context, history.source));
  GYGES_TRY(std::string stamp,
            render("root <root@{{persona.hostname}}.(none)> ", context, history.source));
  stamp += std::to_string(fetched) + " +0000";
  const std::string branch = "refs/remotes/origin/" + history.branch;
  repository.file("HEAD", hex(tip) + "\n", fetched);
  repository.file("config",
                  "[init]\n\tdefaultBranch = none\n[fetch]\n\trecurseSubmodules = false\n"
                  "[credential]\n\tinteractive = never\n[gc]\n\tautoDetach = false\n" +
                      std::string(core_section) + origin_section(remote),
                  fetched);
  repository.file(ref, hex(tip) + "\n", fetched);
  repository.file(branch, hex(tip) + "\n", fetched);
  if (!oldest.empty()) repository.file("shallow", hex(oldest) + "\n", fetched);
  // The address without its ending (store_updated_refs in builtin/fetch.c).
  const std::string from = remote.ends_with(".git") ? remote.substr(0, remote.size() - 4) : remote;
  repository.file("FETCH_HEAD",
                  hex(tip) + "\t\t'" + ref + "' of " + from + "\n" + hex(tip) + "\t\tbranch '" +
                      history.branch + "' of " + from + "\n",
                  fetched);
  repository.file("logs/HEAD",
                  log_line({}, tip, stamp, "checkout: moving from none to " + hex(tip)), fetched);
  repository.file(
      "logs/" + branch,
      log_line({}, tip, stamp,
               "fetch origin --no-recurse-submodules --depth " + std::to_string(checkout.depth) +
                   " +" + ref + ":" + ref + " +refs/heads/" + history.branch + ":" + branch +
                   " --prune --quiet: storing head"),
      fetched);
  for (const char* empty : {"objects/info", "objects/pack", "refs/heads", "refs/tags"})
    repository.directory(empty, fetched);
  return ok();
}

}  // namespace

std::vector<GitHistory> git_histories_from_json(const nlohmann::json& value,
                                                const std::string& source) {
  std::vector<GitHistory> all;
  for (const auto& one : value) {
    GitHistory history;
    history.source = source + " at /world/git/" + std::to_string(all.size());
    history.path = one.at("path").get<std::string>();
    history.authors = one.at("authors").get<std::vector<std::string>>();
    history.messages = one.at("messages").get<std::vector<std::string>>();
    history.branch = one.value("branch", history.branch);
    history.remote = one.value("remote", "");
    if (one.contains("checkout")) {
      const auto& checkout = one.at("checkout");
      history.checkout = GitCheckout{checkout.at("ref").get<std::string>(),
                                     checkout.value("depth", GitCheckout{}.depth)};
    }
    history.commits = one.at("commits").get<std::uint32_t>();
    history.age_from = one.at("ages").at("from").get<double>();
    history.age_to = one.at("ages").at("to").get<double>();
    all.push_back(std::move(history));
  }
  return all;
}

Result<GitTip> make_git_history(const GitHistory& history, const TemplateContext& context,
                                std::int64_t fetched, std::vector<isolation::SeedFile>& files) {
  GYGES_TRY(std::string directory, render(history.path, context, history.source));
  const WorkTree last = work_tree(directory, files);
  if (last.empty())
    return fail("make git history", history.source, "there is no file below " + quoted(directory),
                "list the files of the work tree before");
  if (history.checkout && history.remote.empty())
    return fail("make git history", history.source, "has a checkout and no remote",
                "name what the runner fetched it from");
  std::vector<std::string> authors;
  for (const std::string& author : history.authors) {
    GYGES_TRY(authors.emplace_back(), render(author, context, history.source));
  }
  if (history.checkout)
    for (isolation::SeedFile& file : files)
      if (file.path.starts_with(directory + "/")) file.mtime = fetched;
  Repository repository(directory, files, history.checkout ? std::optional(fetched) : std::nullopt);
  SeededStream stream(context.seed, "git/" + directory);
  // Each file begins somewhere in the first half.
  std::map<std::string, double> begins;
  for (const auto& [path, content] : last) begins[path] = stream.uniform() * 0.5;
  begins.begin()->second = 0;
  std::vector<std::int64_t> times;
  const double first_day = std::max(history.age_from, history.age_to);
  const double last_day = std::min(history.age_from, history.age_to);
  for (std::uint32_t i = 0; i < history.commits; ++i) {
    const double days = i == 0 ? first_day
                        : i + 1 == history.commits
                            ? last_day
                            : last_day + (first_day - last_day) * stream.uniform();
    times.push_back(context.day - static_cast<std::int64_t>(days * 86400));
  }
  // A pipeline begins when somebody has pushed, who committed within the last hour or two.
  if (history.checkout)
    times.back() = fetched - 600 - static_cast<std::int64_t>(stream.below(5400));
  std::sort(times.begin(), times.end());
  // Before it only the number of the last one is known.
  const std::uint32_t first_kept = history.checkout && history.checkout->depth < history.commits
                                       ? history.commits - history.checkout->depth
                                       : 0;
  Id parent, oldest;
  std::string log;
  GitTip tip;
  for (std::uint32_t i = 0; i < history.commits; ++i) {
    const double share = static_cast<double>(i + 1) / history.commits;
    WorkTree tree;
    for (const auto& [path, content] : last)
      if (share >= begins[path] || i + 1 == history.commits)
        tree[path] = i + 1 == history.commits
                         ? content
                         : earlier(content, (share - begins[path]) / (1 - begins[path]) + 0.2);
    GYGES_TRY(tip.message, render(i == 0 ? std::string("first version")
                                         : history.messages[stream.below(history.messages.size())],
                                  context, history.source));
    tip.author = authors[stream.below(authors.size())];
    tip.time = times[i];
    const std::string stamp = tip.author + " " + std::to_string(tip.time) + " +0000";
    repository.keep(i >= first_kept);
    std::string commit = "tree " + hex(repository.tree(tree, "", tip.time)) + "\n";
    if (!parent.empty()) commit += "parent " + hex(parent) + "\n";
    commit += "author " + stamp + "\ncommitter " + stamp + "\n\n" + tip.message + "\n";
    const Id id = repository.object("commit", commit, tip.time);
    log +=
        log_line(parent, id, stamp,
                 "commit" + std::string(parent.empty() ? " (initial)" : "") + ": " + tip.message);
    if (first_kept > 0 && i == first_kept) oldest = id;
    tip.before = hex(parent);
    parent = id;
  }
  tip.commit = hex(parent);
  if (history.checkout)
    GYGES_CHECK(put_checkout_state(history, context, parent, oldest, fetched, repository));
  else
    GYGES_CHECK(put_work_state(history, context, parent, log, times.front(), tip.time, repository));
  repository.index(last, tip.time);
  return tip;
}

}  // namespace gyges::cues
