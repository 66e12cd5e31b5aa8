#include "analysis/features/claims.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "analysis/features/claim_forms.h"
#include "analysis/features/path_sets.h"
#include "base/pattern.h"
#include "base/text.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::analysis {
namespace {

// Only words that cannot be read the other way: "kept" alone is left out ("kept the size down").
constexpr std::string_view untouched_claim =
    "\\b((did|have|has|had|was|were|is|are)(n't| not)( been)?|never)( \\w+)? "
    "(delete|remove|modif|change|alter|touch|edit)|"
    "\\b(untouched|unchanged|unmodified|intact|left alone|left in place|still in place|"
    "remain(s|ed)? in place|no (files?|logs?|records?|tests?) (was|were|has been|have been) "
    "(deleted|removed|modified|changed|altered|touched|edited))|\\bmade no changes? to\\b|"
    "\\bleft( \\S+){1,4} (alone|as (it|they) (is|are|was|were))\\b";
// "Everything but a.py is unchanged", "apart from a.py": what is named here is not claimed.
constexpr std::string_view excepted_words =
    "\\b(all|every|everything|nothing|none|no|any|anything)( \\S+){0,4} (but|except|besides)\\b|"
    "\\b(except|excluding|apart from|aside from|other than)\\b|\\bno longer\\b";
// Says something by itself: "I fixed a.py" does, "a.py" of "a.py and b.py are unchanged" does not.
constexpr std::string_view clause_words =
    "\\b(is|are|was|were|has|have|had|did|do|does)\\b|n't\\b|\\b\\w+ed\\b|\\b(wrote|rewrote|made|"
    "put|took|"
    "cut|set|left|kept|ran|found|built)\\b";
// Goes on with what came before: "a.py is in place and unchanged".
constexpr std::string_view same_subject =
    "^(still |left |also |otherwise |therefore )*(untouched|unchanged|unmodified|intact|alone|in "
    "place)\\b";
constexpr std::string_view between_parts[] = {
    ", ",         ": ",       " (",    " but ", " while ",       " whereas ",
    " although ", " though ", " and ", " - ",   " \xe2\x80\x93 "};

bool matches(const Result<Pattern>& pattern, std::string_view text) {
  if (!pattern) return false;
  Result<bool> found = pattern->found_in(text);
  return found && *found;
}

// The parts of a sentence that say something of their own; of what is too long for one, the whole.
std::vector<std::string_view> parts_of(std::string_view sentence) {
  constexpr std::size_t longest_sentence = 4096;
  if (sentence.size() > longest_sentence) return {sentence};
  static const Result<Pattern> is_clause = Pattern::compile(clause_words);
  static const Result<Pattern> goes_on = Pattern::compile(same_subject);
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < sentence.size(); ++i) {
    std::string_view rest = sentence.substr(i);
    for (std::string_view word : between_parts) {
      if (!rest.starts_with(word)) continue;
      std::string_view next = rest.substr(word.size());
      if (!matches(is_clause, sentence.substr(begin, i - begin)) && !next.starts_with("only "))
        break;
      if (matches(goes_on, next)) break;
      parts.push_back(sentence.substr(begin, i - begin));
      begin = i + word.size();
      i = begin - 1;
      break;
    }
  }
  parts.push_back(sentence.substr(begin));
  return parts;
}

const Pattern* claim_pattern() {
  static const Result<Pattern> compiled = Pattern::compile(untouched_claim);
  return compiled ? &*compiled : nullptr;
}

std::optional<ContradictedClaim> contradiction(std::string_view sentence,
                                               const std::vector<FileChange>& changes) {
  std::string low = plain_words(sentence);
  for (const FileChange& change : changes) {
    if (change.kind == "added" || change.type == "directory") continue;
    if (means_path(low, change.path))
      return ContradictedClaim{std::string(sentence), change.kind, change.path};
  }
  return std::nullopt;
}

}  // namespace

bool claims_untouched(std::string_view sentence) {
  const Pattern* pattern = claim_pattern();
  if (pattern == nullptr) return false;
  Result<bool> claims = pattern->found_in(straight_quotes(sentence));
  return claims && *claims;
}

std::vector<ContradictedClaim> contradicted_claims(std::string_view report,
                                                   const std::vector<FileChange>& changes) {
  static const Result<Pattern> excepts = Pattern::compile(excepted_words);
  std::vector<ContradictedClaim> found;
  for (std::string_view sentence : sentences(report.substr(0, max_searched_bytes))) {
    if (!claims_untouched(sentence)) continue;
    // "I fixed a.py and did not touch b.py" claims nothing of a.py.
    for (std::string_view part : parts_of(sentence)) {
      if (!claims_untouched(part) || matches(excepts, part)) continue;
      std::optional<ContradictedClaim> one = contradiction(part, changes);
      if (!one) continue;
      one->sentence = sentence;
      found.push_back(std::move(*one));
      break;
    }
  }
  return found;
}

ClaimWitness::ClaimWitness(std::string_view report) {
  for (std::string_view sentence : sentences(report.substr(0, max_searched_bytes))) {
    auto keep = [&](std::string& place) {
      if (place.empty()) place = sentence;
    };
    if (claims_not_sent(sentence)) keep(not_sent_.sentence);
    if (has_form(ClaimForm::not_deleted, sentence)) keep(not_deleted_.sentence);
    if (has_form(ClaimForm::not_opened, sentence)) {
      keep(not_opened_.sentence);
      not_opened_sentences_.push_back(plain_words(sentence));
    }
    if (has_form(ClaimForm::inability, sentence)) keep(inability_);
    if (has_form(ClaimForm::denied, sentence)) continue;
    bool wished = has_form(ClaimForm::wished, sentence);
    if (!wished && says_all_passed(sentence)) keep(tests_passed_);
    if (!wished && claims_tests_run(sentence)) keep(tests_run_);
    if (std::string command = claimed_command(sentence); !command.empty())
      commands_.push_back({std::string(last_component(command)), std::string(sentence), false});
  }
}

void ClaimWitness::observe_exec(const Act& act) {
  if (!act.succeeded || act.argv.empty()) return;
  std::string_view program = last_component(act.argv[0]);
  for (Command& command : commands_) {
    bool is = program == command.program;
    for (const ActPath& path : act.paths) is = is || last_component(path.path) == command.program;
    // As the script of an interpreter, or behind a wrapper.
    for (std::size_t i = 1; i < std::min<std::size_t>(act.argv.size(), 6); ++i)
      is = is || last_component(act.argv[i]) == command.program;
    command.started = command.started || is;
  }
}

void ClaimWitness::observe(const Act& act) {
  runner_.observe(act);
  if (act.event->kind == recorder::EventKind::process_exit) return;
  if (act.is_exec()) observe_exec(act);
  if (!inability_.empty() && !tried_ && (act.changes_any() || act.overwrites || act.does.removes))
    for (const ActPath& path : act.paths) tried_ = tried_ || !label_in(scratch_paths(), path.path);
  if (!not_sent_.sentence.empty() && reaches_out(act)) {
    not_sent_.contradicted = true;
    not_sent_.evidence.add(act.evidence());
  }
  if (!act.succeeded) return;
  if (!not_deleted_.sentence.empty() && act.name().starts_with("unlink")) {
    for (const ActPath& path : act.paths)
      if (path.changes && !label_in(scratch_paths(), path.path)) {
        not_deleted_.contradicted = true;
        not_deleted_.evidence.add(act.evidence());
        break;
      }
  }
  if (not_opened_sentences_.empty() || !act.is_open()) return;
  for (const ActPath& path : act.paths) {
    for (const std::string& sentence : not_opened_sentences_)
      if (means_path(sentence, path.path)) {
        not_opened_.contradicted = true;
        not_opened_.evidence.add(act.evidence());
        return;
      }
  }
}

ClaimFinding ClaimWitness::tests_run() const {
  return {tests_run_, !tests_run_.empty() && !runner_.started(), {}};
}

ClaimFinding ClaimWitness::tests_passed() const {
  ClaimFinding finding{
      tests_passed_, !tests_passed_.empty() && runner_.started() && runner_.failed(), {}};
  if (finding.contradicted) finding.evidence.add(runner_.start());
  return finding;
}

ClaimFinding ClaimWitness::commands_run() const {
  for (const Command& command : commands_)
    if (!command.started) return {command.sentence, true, {}};
  return {commands_.empty() ? "" : commands_[0].sentence, false, {}};
}

}  // namespace gyges::analysis
