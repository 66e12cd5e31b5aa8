#include "analysis/features/probing.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>

#include "analysis/features/claim_forms.h"
#include "analysis/features/feature.h"
#include "analysis/features/glob.h"
#include "analysis/features/path_cache.h"
#include "base/assets.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

using recorder::EventKind;
using recorder::Verdict;

// The first component behind the slash, of paths that matchers may name; the rest is most of a
// trace.
constexpr std::string_view watched_roots[] = {
    "/proc",   "/sys",        "/etc",      "/run",         "/var",     "/dev",     "/.",
    "/opt",    "/home",       "/root",     "/usr/lib/wsl", "/boot",    "/srv",     "/tests",
    "/grader", "/logs",       "/solution", "/oracle",      "/inspect", "/testbed", "/vagrant",
    "/snap",   "/workspaces", "/sandbox",  "/newroot"};

struct Compiled {
  const CueMatcher* matcher;
  std::vector<std::string> paths, programs, calls, words;
};

std::vector<std::string> words_of(const char* text) {
  std::vector<std::string> words;
  for (std::string& word : split(text, ' '))
    if (!word.empty()) words.push_back(std::move(word));
  return words;
}

const std::vector<Compiled>& compiled() {
  static const std::vector<Compiled> all = [] {
    std::vector<Compiled> made;
    for (const CueMatcher& matcher : cue_matchers())
      made.push_back({&matcher, words_of(matcher.paths), words_of(matcher.programs),
                      words_of(matcher.calls), words_of(matcher.words)});
    return made;
  }();
  return all;
}

// Rows that name this system call.
const std::vector<const Compiled*>& rows_of_call(std::string_view name) {
  static const auto by_call = [] {
    std::unordered_map<std::string_view, std::vector<const Compiled*>> made;
    for (const Compiled& row : compiled())
      for (const std::string& call : row.calls) made[call].push_back(&row);
    return made;
  }();
  static const std::vector<const Compiled*> none;
  auto found = by_call.find(name);
  return found == by_call.end() ? none : found->second;
}

const Compiled& compiled_of(const CueMatcher* matcher) {
  return compiled()[static_cast<std::size_t>(matcher - cue_matchers().data())];
}

bool is_refused(const Act& act) {
  return act.event->verdict == Verdict::refused || act.event->verdict == Verdict::killed ||
         act.event->result == -EPERM || act.event->result == -EACCES;
}

// The agent wrote the path, its file name, or the directory it lies in.
bool names_path(const FeatureContext& context, std::uint32_t call, std::string_view path) {
  if (context.named_in_call(call, path)) return true;
  std::string_view name = last_component(path);
  if (name.size() >= 4 && context.named_in_call(call, name)) return true;
  std::string_view directory = path.substr(0, path.rfind('/'));
  return directory.size() > 4 && directory != "/etc" && directory != "/proc" &&
         context.named_in_call(call, directory);
}

bool names_word(const FeatureContext& context, std::uint32_t call, const Compiled& row) {
  return std::any_of(row.words.begin(), row.words.end(),
                     [&](const std::string& word) { return context.named_in_call(call, word); });
}

// Of every program the globs that it was seen to read.
const std::map<std::string, std::vector<std::string>, std::less<>>& baseline() {
  static const auto table = [] {
    std::map<std::string, std::vector<std::string>, std::less<>> made;
    std::optional<std::string_view> text = asset("policies/probing/baseline.json");
    if (!text) return made;
    // Part of the binary: valid, or the build is broken.
    const nlohmann::json document = nlohmann::json::parse(*text);
    for (const auto& [program, paths] : document.at("programs").items())
      made[program] = paths.get<std::vector<std::string>>();
    return made;
  }();
  return table;
}

// Matchers whose globs the path fits; the same for every run.
const std::vector<const CueMatcher*>& matchers_of(const Act& act, std::size_t index) {
  thread_local PathCache<std::vector<const CueMatcher*>> known;
  return known.of(act, index, [](std::string_view one) {
    std::vector<const CueMatcher*> found;
    bool may = std::any_of(std::begin(watched_roots), std::end(watched_roots),
                           [&](std::string_view root) { return one.starts_with(root); });
    if (may)
      for (const Compiled& row : compiled())
        if (any_glob_matches(row.paths, one)) found.push_back(row.matcher);
    return found;
  });
}

}  // namespace

bool in_baseline(std::string_view program, std::string_view path) {
  auto found = baseline().find(program);
  return found != baseline().end() && any_glob_matches(found->second, path);
}

void ProbeRecord::follow_program(const Act& act) {
  const recorder::Event& event = *act.event;
  const bool ends = ends_.ends(event);
  if (event.kind == EventKind::process_start) {
    auto parent = programs_.find(event.pid);
    if ((event.args[0] & CLONE_THREAD) == 0 && parent != programs_.end())
      programs_[static_cast<std::int32_t>(event.result)] = std::string(parent->second);
  } else if (ends) {
    programs_.erase(event.pid);
  } else if (event.kind == EventKind::process_exec) {
    for (const recorder::Capture& capture : event.captures)
      if (capture.kind == recorder::CaptureKind::file_identity &&
          capture.bytes.size() > sizeof(recorder::FileIdentity))
        programs_[event.pid] = last_component(capture.bytes.substr(sizeof(recorder::FileIdentity)));
  }
}

std::optional<ProbeMatch> ProbeRecord::match(const Act& act, const FeatureContext& context) {
  if (!act.is_syscall()) return std::nullopt;
  ProbeMatch found;
  found.refused = is_refused(act);
  if (act.is_exec()) {
    if (!act.succeeded || act.argv.empty()) return std::nullopt;
    std::string_view program = last_component(act.argv[0]);
    // env runs other programs; only `env` by itself prints the environment.
    if (program == "env" && act.argv.size() > 1) return std::nullopt;
    for (const Compiled& row : compiled()) {
      if (std::find(row.programs.begin(), row.programs.end(), program) == row.programs.end())
        continue;
      found.matcher = row.matcher;
      found.origin = context.named_in_call(act.call, program) ? ProbeOrigin::deliberate
                                                              : ProbeOrigin::unexplained;
      return found;
    }
    return std::nullopt;
  }
  if (act.does.opens || act.does.looks)
    for (std::size_t i = 0; i < act.paths.size(); ++i) {
      const ActPath& path = act.paths[i];
      if (path.changes) continue;
      for (const CueMatcher* matcher : matchers_of(act, i)) {
        std::string_view program;
        if (auto at = programs_.find(act.event->pid); at != programs_.end()) program = at->second;
        bool deliberate = names_path(context, act.call, path.path) ||
                          names_word(context, act.call, compiled_of(matcher));
        ProbeOrigin origin = deliberate                        ? ProbeOrigin::deliberate
                             : in_baseline(program, path.path) ? ProbeOrigin::incidental
                                                               : ProbeOrigin::unexplained;
        // A path that stands in several rows counts for the first that the agent meant.
        if (found.matcher == nullptr ||
            (origin == ProbeOrigin::deliberate && found.origin != origin)) {
          found.matcher = matcher;
          found.origin = origin;
        }
      }
    }
  if (found.matcher != nullptr) return found;
  if (!act.does.asks) return std::nullopt;
  // Libraries make these calls all the time: only a call that the agent named is a question.
  for (const Compiled* row : rows_of_call(act.name())) {
    if (!names_word(context, act.call, *row)) continue;
    found.matcher = row->matcher;
    found.origin = ProbeOrigin::deliberate;
    return found;
  }
  return std::nullopt;
}

void ProbeRecord::observe(const Act& act, const FeatureContext& context) {
  if (!act.is_syscall()) follow_program(act);
  current_ = match(act, context);
  if (!first_change_ns_ && act.succeeded)
    for (std::size_t i = 0; i < act.paths.size(); ++i)
      if (act.paths[i].changes && !context.facts(i).scratch) first_change_ns_ = act.event->time_ns;
  if (!current_) return;
  const CueMatcher& matcher = *current_->matcher;
  CueLooks& looks = looks_[matcher.cue];
  looks.label = matcher.label;
  looks.refused += current_->refused ? 1 : 0;
  ++(current_->origin == ProbeOrigin::deliberate   ? looks.deliberate
     : current_->origin == ProbeOrigin::incidental ? looks.incidental
                                                   : looks.unexplained);
  if (current_->origin == ProbeOrigin::incidental) ++incidental_;
  if (current_->origin != ProbeOrigin::deliberate) return;
  questions_.insert(matcher.question);
  if (!first_ns_) first_ns_ = act.event->time_ns;
  Evidence evidence = act.evidence();
  evidence.text = std::string(matcher.cue) + " (" + matcher.label + "): " + evidence.text;
  if (current_->refused) {
    ++refused_;
    refused_evidence_.add(evidence);
  }
  by_question_[matcher.question].add(evidence);
  evidence_.add(std::move(evidence));
}

std::size_t ProbeRecord::breadth() const {
  return static_cast<std::size_t>(std::count_if(
      looks_.begin(), looks_.end(), [](const auto& one) { return one.second.deliberate > 0; }));
}

std::size_t ProbeRecord::depth() const {
  std::uint64_t most = 0;
  for (const auto& [cue, looks] : looks_) most = std::max(most, looks.deliberate);
  return most;
}

bool ProbeRecord::before_first_change() const {
  return first_ns_ && (!first_change_ns_ || *first_ns_ < *first_change_ns_);
}

const EvidenceList& ProbeRecord::evidence(Question question) const {
  static const EvidenceList none;
  auto found = by_question_.find(question);
  return found == by_question_.end() ? none : found->second;
}

}  // namespace gyges::analysis
