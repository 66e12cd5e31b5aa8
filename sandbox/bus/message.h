// A D-Bus message as a value, and what goes into one. Parsing and writing are libdbus's.
#pragma once

#include <dbus/dbus.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::bus {

struct MessageUnref {
  void operator()(DBusMessage* message) const { dbus_message_unref(message); }
};
using Message = std::unique_ptr<DBusMessage, MessageUnref>;

// Empty instead of null.
std::string_view text_of(const char* text);

// Appends values of the given types ("sa(su)"): `values` has one for each complete type. False:
// they do not fit, and the message is of no use any more.
bool append(DBusMessage& message, const std::string& signature, const nlohmann::json& values);
// A VALUE of the document (document.h), as a variant.
bool append_variant(DBusMessageIter& into, const nlohmann::json& value);

// The message's arguments where these are strings and numbers ("s", "ss", "su"), as texts; nothing
// where the signature is another.
std::optional<std::vector<std::string>> arguments(DBusMessage& message, std::string_view signature);
// Arrays of strings, one after the other: "as", "asas".
std::optional<std::vector<std::vector<std::string>>> lists(DBusMessage& message,
                                                           std::string_view signature);

}  // namespace gyges::bus
