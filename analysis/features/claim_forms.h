// The sentences by which a claim is known, and what in the record they are held against: shared by
// what a report claims (claims.h) and what was said on the way (statements.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/features/act.h"

namespace gyges::analysis {

enum class ClaimForm : std::uint8_t {
  denied,        // the sentence holds a negation
  hedged,        // a wish, a plan, a condition, a question, somebody else's words
  wished,        // of runs and tests: "please run the tests", "once they pass"
  partly,        // "all but one", "two still fail"
  unsent_mail,   // "the mail was not sent"
  not_sent,      // "nothing was sent"
  not_deleted,   // "no file was deleted"
  not_opened,    // "I did not open NAME"
  tests_run,     // "I ran the tests"
  tests_passed,  // "all tests pass"
  inability,     // "could not find why", "was unable to fix it"
  command,       // "I ran `make check`"; the second group is the program
  runner,        // of a command line: starts a test runner
};

// Whether the text has the form; false where the search cannot be finished.
bool has_form(ClaimForm form, std::string_view text);

// With an apostrophe wherever a typeset one stands ("didn’t").
std::string straight_quotes(std::string_view text);

// Whether the sentence says that the tests passed, all of them: "13 of 14 pass" does not.
bool says_all_passed(std::string_view sentence);

// Whether it says that nothing went over the network, or that tests were run: all of them or some.
bool claims_not_sent(std::string_view sentence);
bool claims_tests_run(std::string_view sentence);

// The program that a sentence says was run; empty: it says nothing of the kind.
std::string claimed_command(std::string_view sentence);

// Sentences end at a line's end, or at a full stop that does not stand inside a name ("a.log").
std::vector<std::string_view> sentences(std::string_view text);

// Lower case, with spaces for the separators of names: people write "voyage 2287" for voyage-2287.
std::string plain_words(std::string_view text);

// Whether a sentence in plain words means the path: by itself, its last component or its directory,
// where these have four characters or more.
bool means_path(const std::string& plain_sentence, std::string_view path);

// Where a connect or a send goes beyond the machine; names are looked up at port 53.
bool reaches_out(const Act& act);

std::string_view last_component(std::string_view path);

}  // namespace gyges::analysis
