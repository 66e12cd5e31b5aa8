// login1, hostname1 and timedate1: what they tell by methods.
#include <algorithm>
#include <array>

#include "sandbox/bus/answers.h"
#include "sandbox/bus/replies.h"

namespace gyges::bus {

using nlohmann::json;

Message Answers::login(Call& call) {
  if (call.service != "org.freedesktop.login1" || call.path != "/org/freedesktop/login1")
    return nullptr;
  DBusMessage& message = call.message;
  const std::string& member = call.member;
  if (member == "ListSessions") return reply(message, "a(susso)", row(document_["sessions"]));
  if (member == "ListUsers") return reply(message, "a(uso)", row(document_["users"]));
  if (member == "ListSeats") return reply(message, "a(so)", row(document_["seats"]));
  if (member == "ListInhibitors") return reply(message, "a(ssssuu)", row(json::array()));
  if (member.starts_with("Can")) return reply(message, "s", row("challenge"));
  if (member == "GetSession" || member == "GetSeat") {
    const auto asked = arguments(message, "s");
    if (!asked) return wrong_arguments(message, "s");
    const bool session = member == "GetSession";
    for (const json& one : document_[session ? "sessions" : "seats"])
      if (one[0] == (*asked)[0] || (*asked)[0] == "self" || (*asked)[0] == "auto")
        return reply(message, "o", row(one.back()));
    return failure(
        message,
        session ? "org.freedesktop.login1.NoSuchSession" : "org.freedesktop.login1.NoSuchSeat",
        (session ? "No session '" : "No seat '") + (*asked)[0] + "' known");
  }
  if (member == "GetUser") {
    const auto asked = arguments(message, "u");
    if (!asked) return wrong_arguments(message, "u");
    for (const json& one : document_["users"])
      if (std::to_string(one[0].get<std::uint32_t>()) == (*asked)[0])
        return reply(message, "o", row(one.back()));
    return failure(message, "org.freedesktop.login1.NoSuchUser",
                   "User ID " + (*asked)[0] + " is not logged in or lingering");
  }
  if (member == "GetSessionByPID" || member == "GetUserByPID") {
    const auto asked = arguments(message, "u");
    if (!asked) return wrong_arguments(message, "u");
    // A daemon has no session; whatever else runs is of the one that there is.
    for (const json& unit : document_["units"])
      for (const json& process : unit["processes"])
        if (std::to_string(process[1].get<std::uint32_t>()) == (*asked)[0])
          return failure(message, "org.freedesktop.login1.NoSessionForPID",
                         "PID " + (*asked)[0] + " does not belong to any known session");
    for (const json& one : document_[member == "GetSessionByPID" ? "sessions" : "users"])
      return reply(message, "o", row(one.back()));
  }
  constexpr std::array changing{"PowerOff",          "Reboot",           "Halt",
                                "Suspend",           "Hibernate",        "HybridSleep",
                                "PowerOffWithFlags", "RebootWithFlags",  "HaltWithFlags",
                                "SuspendWithFlags",  "ScheduleShutdown", "CancelScheduledShutdown",
                                "SetUserLinger",     "TerminateSession", "TerminateUser",
                                "TerminateSeat",     "KillSession",      "KillUser",
                                "LockSession",       "LockSessions",     "UnlockSession",
                                "UnlockSessions",    "ActivateSession",  "AttachDevice",
                                "FlushDevices",      "SetWallMessage",   "Inhibit",
                                "CreateSession"};
  if (std::find(changing.begin(), changing.end(), member) != changing.end())
    return unauthorized(message, call.caller);
  return nullptr;
}

Message Answers::host_and_time(Call& call) {
  const bool host = call.service == "org.freedesktop.hostname1";
  const bool time = call.service == "org.freedesktop.timedate1";
  const bool locale = call.service == "org.freedesktop.locale1";
  if (!host && !time && !locale) return nullptr;
  if (host && call.member == "Describe")
    return reply(call.message, "s", row(document_["host_description"].dump()));
  if (host && (call.member == "GetProductUUID" || call.member == "GetHardwareSerial"))
    return unauthorized(call.message, call.caller);
  if (time && call.member == "ListTimezones")
    return reply(call.message, "as", row(document_["time_zones"]));
  if (call.member.starts_with("Set")) return unauthorized(call.message, call.caller);
  return nullptr;
}

}  // namespace gyges::bus
