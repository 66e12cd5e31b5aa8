// The bus itself: names and who has them.
#include <fmt/format.h>

#include <algorithm>

#include "sandbox/bus/answers.h"
#include "sandbox/bus/replies.h"

namespace gyges::bus {

using nlohmann::json;

Message Answers::driver(Call& call) {
  DBusMessage& message = call.message;
  const std::string& member = call.member;
  if (member == "Hello" && call.path == DBUS_PATH_DBUS) {
    // The caller was given its name when it came.
    if (call.caller.name.empty()) return failure(message, DBUS_ERROR_FAILED, "No name");
    return reply(message, "s", row(call.caller.name));
  }
  if (call.caller.name.empty()) return unregistered(message);
  if (Message made = peer(call)) return made;
  if (member == "Introspect") return reply(message, "s", row("<node>\n</node>\n"));
  json names = row(DBUS_SERVICE_DBUS);
  if (member == "ListNames") {
    for (const json& one : document_["names"]) names.push_back(one["name"]);
    for (const json& one : document_["names"])
      if (std::find(names.begin(), names.end(), one["owner"]) == names.end())
        names.push_back(one["owner"]);
    for (const std::string& name : call.connected) names.push_back(name);
    return reply(message, "as", row(names));
  }
  if (member == "ListActivatableNames") {
    for (const json& one : document_["activatable"]) names.push_back(one);
    return reply(message, "as", row(names));
  }
  if (member == "GetId") return reply(message, "s", row(document_["bus_id"]));
  if (member == "AddMatch" || member == "RemoveMatch") {
    if (!arguments(message, "s")) return wrong_arguments(message, "s");
    return reply(message, "", json::array());
  }
  if (member == "RequestName" || member == "ReleaseName") {
    const auto asked = arguments(message, member == "RequestName" ? "su" : "s");
    if (!asked) return wrong_arguments(message, member == "RequestName" ? "su" : "s");
    if (member == "ReleaseName") return reply(message, "u", row(2));  // there is no such owner
    return failure(message, DBUS_ERROR_ACCESS_DENIED,
                   fmt::format("Connection \"{}\" is not allowed to own the service \"{}\" due to "
                               "security policies in the configuration file",
                               call.caller.name, (*asked)[0]));
  }
  const auto asked = arguments(message, "s");
  if (!asked) return unknown_method(message);
  const std::string& name = (*asked)[0];
  const bool is_client =
      std::find(call.connected.begin(), call.connected.end(), name) != call.connected.end();
  const std::string owner = is_client ? name : owner_of(name);
  if (member == "NameHasOwner") return reply(message, "b", row(!owner.empty()));
  const bool known = member == "GetNameOwner" || member == "ListQueuedOwners" ||
                     member == "GetConnectionUnixUser" || member == "GetConnectionUnixProcessID" ||
                     member == "GetConnectionCredentials";
  if (!known) return unknown_method(message);
  if (owner.empty())
    return failure(message, DBUS_ERROR_NAME_HAS_NO_OWNER,
                   fmt::format("Could not get {} of name '{}': no such name",
                               member == "GetNameOwner"            ? "owner"
                               : member == "GetConnectionUnixUser" ? "UID"
                                                                   : "PID",
                               name));
  if (member == "GetNameOwner") return reply(message, "s", row(owner));
  if (member == "ListQueuedOwners") return reply(message, "as", row(row(owner)));
  std::uint32_t uid = call.caller.uid;
  std::uint32_t pid = 0;
  for (const json& one : document_["names"])
    if (one["owner"] == owner || (owner == DBUS_SERVICE_DBUS && one.value("bus", false))) {
      uid = one["uid"].get<std::uint32_t>();
      pid = one["pid"].get<std::uint32_t>();
    }
  if (member == "GetConnectionUnixUser") return reply(message, "u", row(uid));
  if (member == "GetConnectionUnixProcessID") {
    // The number of a client inside is not known here.
    if (pid > 0) return reply(message, "u", row(pid));
    return failure(message, DBUS_ERROR_UNIX_PROCESS_ID_UNKNOWN,
                   "Could not determine PID for '" + name + "'");
  }
  json all = row(row("UnixUserID", row("u", uid)));
  if (pid > 0) all.push_back(row("ProcessID", row("u", pid)));
  return reply(message, "a{sv}", row(all));
}

}  // namespace gyges::bus
