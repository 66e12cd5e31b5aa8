// Text of agents as a page shows it: lines and tabs stay, everything else that could steer a reader
// (control characters, bidirectional overrides, bytes that are no UTF-8) is written out.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace gyges::analysis {

// printable() of each line; \n and \t stay.
std::string printable_lines(std::string_view text);

// The same of every text in it, names of members included: a name that a scenario or a bundle gives
// can steer a reader as well as an agent's words.
nlohmann::json printable_texts(nlohmann::json json);

// At most `limit` bytes of the text, not cut within a character, and how many bytes there are:
// {"text": ..., "bytes": N, "cut": true}, or the text alone where all of it is there.
nlohmann::json shown_text(std::string_view text, std::size_t limit);

// One printable line of at most some `limit` bytes; a longer one ends in "…".
std::string shown_line(std::string_view text, std::size_t limit);

// The same of a line that is printable already.
std::string cut_line(std::string text, std::size_t limit);

}  // namespace gyges::analysis
