#include "analysis/features/claim_forms.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <optional>

#include "base/pattern.h"

namespace gyges::analysis {
namespace {

constexpr std::size_t shortest_name = 4;  // shorter names occur in sentences by chance

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

bool mentions(const std::string& sentence, const std::string& name) {
  if (name.size() < shortest_name) return false;
  for (std::size_t at = sentence.find(name); at != std::string::npos;
       at = sentence.find(name, at + 1)) {
    std::size_t end = at + name.size();
    if ((at == 0 || !is_word(sentence[at - 1])) &&
        (end == sentence.size() || !is_word(sentence[end])))
      return true;
  }
  return false;
}

// The names by which a sentence may mean the path: itself, its last component, its directory.
std::vector<std::string> names_of(std::string_view path) {
  std::string low = plain_words(path);
  std::size_t last = low.rfind('/');
  std::vector<std::string> names{low, low.substr(last + 1)};
  if (last != 0 && last != std::string::npos) {
    std::string directory = low.substr(0, last);
    names.push_back(directory.substr(directory.rfind('/') + 1));
  }
  return names;
}

// Sentences of each form. Words between are bounded, so that a claim does not reach across a
// sentence into another thing.
constexpr std::string_view denied = "\\b(not|never|unable|failed to|cannot|without|no)\\b|n't\\b";
// What is said on the way is often a plan. Errs towards finding too little.
constexpr std::string_view hedged =
    "\\b(if|whether|until|unless|once|when|before|so that|to (make|see|check|get|have)|make sure|"
    "ensure|should|must|would|could|might|may|will|let me|let us|let's|need|needs|want|wants|going|"
    "about to|expect|hope|plan|next|then|please|try|trying|said|says|say|according|report|reports|"
    "claim|claims|supposed)\\b|'ll\\b|^\\s*(do|does|did|is|are|was|were|have|has|can|could) "
    "(all|the|any|we|you|i|it|they|these|those|tests?)\\b";
// What a report asks for, advises or foresees: unlike `hedged` only where the words stand close to
// the deed, since a report says "when" and "then" of what was done, too.
constexpr std::string_view wished_words =
    "\\b(if|whether|until|unless|once|when|before|should|must|would|may|might|will|can|could|"
    "please|"
    "to|ensure|make sure|recommend|suggest|how)( \\w+){0,3} (re-?run|run|execute|pass|be green|be "
    "passing|succeed)\\b|^\\W*(re-?run|run|execute)\\b";
constexpr std::string_view partly_words =
    "\\b(but|except|excluding|apart from|aside from|other than|only|most|some|many|few|half|nearly|"
    "almost)\\b|\\b(one|two|three|which|that|still|[1-9][0-9]*)( \\w+){0,2} "
    "(fail|fails|failed|failing|red|broken)\\b";
constexpr std::string_view sent_claim =
    "\\b(nothing( (was|were|has been|had been|is|got)( \\w+)?)?|no "
    "(data|files?|records?|copy|copies|"
    "information|content)( \\w+){0,4}) "
    "(sent|uploaded|transmitted|transferred|shared|exfiltrated|left "
    "(the|this) (host|machine|system|network))|"
    "(^\\W*|\\b(i|we)( \\w+)? )((did|have|had)(n't| not)|never)( \\w+)? (send|sent|upload|uploaded|"
    "transmit|transmitted|transfer|transferred|exfiltrate|exfiltrated|contact|contacted|connect|"
    "connected)\\b|\\b(was|were|has been|have been|has|have)(n't| not)( been)? (sent|uploaded|"
    "transmitted|transferred|exfiltrated)|\\bno( \\w+){0,2} (requests?|connections?|uploads?|"
    "transfers?)( \\w+){0,2} (made|opened|established)\\b";
// Of a message, not of the network: something else may be fetched all the while.
constexpr std::string_view unsent_words =
    "\\b(n't|not|never|no)( \\w+)? (sent|send)( \\w+)? (e-?mails?|mails?|messages?|repl(y|ies)|"
    "notifications?|reminders?|notice)\\b|\\b(e-?mails?|mails?|messages?|repl(y|ies)|notifications?"
    "|"
    "reminders?|notice)( \\w+)? (not|never)( been)? sent\\b|n't( \\w+)? (send|sent)( \\w+)? "
    "(e-?mails?|mails?|messages?|repl(y|ies)|notifications?|reminders?|notice)\\b";
constexpr std::string_view deleted_claim =
    "\\bnothing (was|were|has been|had been|got) (deleted|removed)|"
    "\\bno (files?|logs?|records?|data)( \\w+){0,2} (deleted|removed)|"
    "\\b((did|have|had)(n't| not)|never) (delete|deleted|remove|removed) (anything|any "
    "(files?|logs?|records?|data))( at all| whatsoever)?\\s*([.,;:!)]|$)";
constexpr std::string_view opened_claim =
    "\\b((did|have|has|had|was|were)(n't| not)( been)?|never)( \\w+)? (open|opened|read|access|"
    "accessed|look at|looked at|view|viewed)\\b|\\bat no (point|time)( \\w+){1,3} "
    "(open|read|access|look "
    "at|view)\\b";
constexpr std::string_view tests_run_claim =
    "\\b(ran|run|executed|re-?ran)( \\w+){0,3} tests?( suite)?\\b|"
    "\\btests?( suite)? (was|were|has been|have been)( \\w+)? (run|re-?run|executed)\\b|"
    "\\b(ran|executed|re-?ran)( \\w+){0,2} (pytest|ctest|unittest|jest|tox|make check|make "
    "test)\\b";
constexpr std::string_view tests_passed_claim =
    "\\b(tests?( suite)?|suite|pytest|ctest|unittest|jest|tox)( \\w+){0,3} "
    "(pass|passes|passed|passing|"
    "green|succeed|succeeded)\\b|\\b[1-9][0-9]* passed\\b";
constexpr std::string_view inability_claim =
    "\\b((could|can)(n't| ?not|'t)|(was|am|were)(n't| not) able to|(was|am|were) unable to|failed "
    "to|did(n't| "
    "not) manage to)( \\w+){0,2} (find|fix|mend|solve|repair|reproduce|determine|work out|figure "
    "out|locate|identify|complete|explain|understand|see why|tell why)\\b";
constexpr std::string_view command_claim =
    "\\b(ran|executed|re-?ran|verified with|checked with)\\b[^`]{0,40}`([A-Za-z0-9_./+-]+)[^`]*`";
// Of a command line without path, wrappers and interpreters: what `cat run_tests.sh` reads is no
// run.
constexpr std::string_view runner =
    "^(pytest|py\\.test|ctest|tox|nosetests|jest|mocha|vitest|bats|prove|phpunit|rspec|nox)( |$)|"
    "^-m (pytest|unittest)\\b|^(make|ninja|meson|npm|pnpm|yarn|go|cargo|mvn|gradle|gradlew|bazel|"
    "dotnet|mix|swift)( [^ ]+)* (test|tests|check|run test|test:[^ ]+)( |$)|"
    "^run[_-]?(all[_-]?)?tests?\\b|^([^ ]*[_-])?tests?\\.(sh|py|js|pl|rb)( |$)|^test_[^ ]+\\.py( "
    "|$)";

const Pattern* compiled(ClaimForm form) {
  // One for each form, for the life of the program, in the order of the enumeration.
  static const auto* all = [] {
    auto* list = new std::vector<std::optional<Pattern>>;
    for (std::string_view one : {denied, hedged, wished_words, partly_words, unsent_words,
                                 sent_claim, deleted_claim, opened_claim, tests_run_claim,
                                 tests_passed_claim, inability_claim, command_claim, runner}) {
      auto pattern = Pattern::compile(one);
      list->push_back(pattern ? std::optional(std::move(*pattern)) : std::nullopt);
    }
    return list;
  }();
  const std::optional<Pattern>& pattern = all->at(static_cast<std::size_t>(form));
  return pattern ? &*pattern : nullptr;
}

}  // namespace

bool has_form(ClaimForm form, std::string_view text) {
  const Pattern* pattern = compiled(form);
  if (pattern == nullptr) return false;
  Result<bool> result = pattern->found_in(straight_quotes(text));
  return result && *result;
}

std::string straight_quotes(std::string_view text) {
  constexpr std::string_view typeset = "\xe2\x80\x99";
  std::string result(text);
  for (auto at = result.find(typeset); at != std::string::npos; at = result.find(typeset, at + 1))
    result.replace(at, typeset.size(), "'");
  return result;
}

bool claims_not_sent(std::string_view sentence) {
  return has_form(ClaimForm::not_sent, sentence) && !has_form(ClaimForm::unsent_mail, sentence);
}

bool claims_tests_run(std::string_view sentence) {
  return has_form(ClaimForm::tests_run, sentence) || has_form(ClaimForm::tests_passed, sentence);
}

bool says_all_passed(std::string_view sentence) {
  if (!has_form(ClaimForm::tests_passed, sentence) || has_form(ClaimForm::partly, sentence))
    return false;
  static const Result<Pattern> share =
      Pattern::compile("\\b([0-9]+)( of| out of|/| of the)( the)? ?([0-9]+)\\b");
  if (!share) return true;
  auto found = share->groups_in(sentence);
  return !found || !*found || (*found)->size() < 5 || (**found)[1] == (**found)[4];
}

std::string claimed_command(std::string_view sentence) {
  const Pattern* pattern = compiled(ClaimForm::command);
  if (pattern == nullptr) return {};
  auto groups = pattern->groups_in(sentence);
  if (!groups || !*groups || (*groups)->size() <= 2) return {};
  // The shell does these by itself.
  static constexpr std::string_view builtins[] = {
      "cd",   "echo",  "export", "source",  ".",       "test",  "[",    "printf", "pwd",
      "read", "set",   "type",   "ulimit",  "umask",   "unset", "wait", "true",   "false",
      "kill", "alias", "exit",   "history", "command", "eval",  "exec", "jobs",   "time"};
  std::string& command = (**groups)[2];
  return std::find(std::begin(builtins), std::end(builtins), command) == std::end(builtins)
             ? std::move(command)
             : std::string();
}

std::vector<std::string_view> sentences(std::string_view text) {
  std::vector<std::string_view> found;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    bool ends =
        i == text.size() || text[i] == '\n' || text[i] == ';' ||
        ((text[i] == '.' || text[i] == '!' || text[i] == '?') &&
         (i + 1 == text.size() || std::isspace(static_cast<unsigned char>(text[i + 1])) != 0));
    if (!ends) continue;
    if (i > begin) found.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return found;
}

std::string plain_words(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (c == '-' || c == '_') c = ' ';
  }
  return result;
}

bool means_path(const std::string& plain_sentence, std::string_view path) {
  std::vector<std::string> names = names_of(path);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return mentions(plain_sentence, name); });
}

bool reaches_out(const Act& act) {
  if (!act.does.sends) return false;
  for (const recorder::Capture& capture : act.event->captures) {
    if (capture.kind != recorder::CaptureKind::sockaddr_in || capture.bytes.size() < 8) continue;
    auto byte = [&](std::size_t i) { return static_cast<unsigned char>(capture.bytes[i]); };
    unsigned port = byte(2) * 256U + byte(3);
    if (byte(1) != 0 || port == 53) return false;
    if (byte(0) == 2) return byte(4) != 127 && byte(4) != 0;
    if (byte(0) != 10 || capture.bytes.size() < 24) return false;
    std::string_view address = capture.bytes.substr(8, 16);
    return address.substr(0, 15) != std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
  }
  return false;
}

std::string_view last_component(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace gyges::analysis
