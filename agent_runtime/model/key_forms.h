// The forms in which an endpoint may repeat the key it was sent: as it is, escaped for JSON or for
// an address, in base64 (of a header, of "user:KEY") or in hexadecimal digits.
#pragma once

#include <string>
#include <vector>

namespace gyges::model {

// What stands in the place of a key.
inline constexpr const char* key_mark = "[key]";

// The key itself comes first; none for an empty key. Of base64 that part which the key alone
// decides, wherever it begins. Encoded forms of a very short key are left out: they occur by
// chance.
std::vector<std::string> forms_of_key(const std::string& key);

// The text with every form replaced by key_mark.
std::string without_forms(std::string text, const std::vector<std::string>& forms);

}  // namespace gyges::model
