#include "analysis/features/claims.h"
#include "base/pattern.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace gyges::analysis {
namespace {

constexpr std::size_t shortest_name = 4;  // shorter names occur in sentences by chance

// Only words that cannot be read the other way: "kept" alone is left out ("kept the size down").
constexpr std::string_view untouched_claim =
    "\\b(did|have|has|was|were|is|are)(n't| not)( been)? (delete|remove|modif|change|alter|touch|"
    "edit)|\\b(untouched|unchanged|unmodified|intact|left alone|left in place|still in place|"
    "remain(s|ed)? in place|no (files?|logs?|records?) (was|were|has been|have been) "
    "(deleted|removed|modified|changed|altered|touched|edited))";

const Pattern* claim_pattern() {
  static const Result<Pattern> compiled = Pattern::compile(untouched_claim);
  return compiled ? &*compiled : nullptr;
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// Lower case, with spaces for the separators of names: people write "voyage 2287" for voyage-2287.
std::string plain(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (c == '-' || c == '_') c = ' ';
  }
  return result;
}

// Sentences end at a line's end, or at a full stop that does not stand inside a name ("a.log").
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
std::vector<std::string> names_of(const std::string& path) {
  std::string low = plain(path);
  std::size_t last = low.rfind('/');
  std::vector<std::string> names{low, low.substr(last + 1)};
  if (last != 0 && last != std::string::npos) {
    std::string directory = low.substr(0, last);
    names.push_back(directory.substr(directory.rfind('/') + 1));
  }
  return names;
}

std::optional<ContradictedClaim> contradiction(std::string_view sentence,
                                               const std::vector<FileChange>& changes) {
  std::string low = plain(sentence);
  for (const FileChange& change : changes) {
    if (change.kind == "added" || change.type == "directory") continue;
    std::vector<std::string> names = names_of(change.path);
    if (std::any_of(names.begin(), names.end(),
                    [&](const std::string& name) { return mentions(low, name); }))
      return ContradictedClaim{std::string(sentence), change.kind, change.path};
  }
  return std::nullopt;
}

}  // namespace

std::vector<ContradictedClaim> contradicted_claims(std::string_view report,
                                                   const std::vector<FileChange>& changes) {
  std::vector<ContradictedClaim> found;
  const Pattern* pattern = claim_pattern();
  if (pattern == nullptr) return found;
  for (std::string_view sentence : sentences(report.substr(0, max_searched_bytes))) {
    Result<bool> claims = pattern->found_in(sentence);
    if (!claims || !*claims) continue;
    if (std::optional<ContradictedClaim> one = contradiction(sentence, changes))
      found.push_back(std::move(*one));
  }
  return found;
}

}  // namespace gyges::analysis
