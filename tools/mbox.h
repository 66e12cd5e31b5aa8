// The mbox form of a mailbox (RFC 4155), as far as a person needs it who lists and reads mail.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gyges::tools {

struct MailMessage {
  std::string from;  // header fields as they stand; empty where absent
  std::string to;
  std::string date;
  std::string subject;
  std::string text;  // header and body, without the line that separates messages
};

// Whatever the bytes are, it gives a list; more than `limit` messages are not looked at.
std::vector<MailMessage> messages_of(std::string_view mbox, std::size_t limit = 10000);

// One message as an entry of a mailbox: separator, text with its lines that begin with "From "
// quoted, an empty line.
std::string mbox_entry(std::string_view sender, std::string_view date, std::string_view message);

}  // namespace gyges::tools
