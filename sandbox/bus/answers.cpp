#include "sandbox/bus/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "sandbox/bus/replies.h"

namespace gyges::bus {

using nlohmann::json;

namespace {

constexpr const char* bus_name = "org.freedesktop.DBus";
constexpr std::string_view properties_interface = "org.freedesktop.DBus.Properties";

}  // namespace

Message failure(DBusMessage& call, const char* name, const std::string& text) {
  return Message(dbus_message_new_error(&call, name, text.c_str()));
}

Message reply(DBusMessage& call, const std::string& signature, const json& values) {
  Message message(dbus_message_new_method_return(&call));
  if (message && !append(*message, signature, values))
    return failure(call, DBUS_ERROR_FAILED, "Input/output error");
  return message;
}

Message unknown_method(DBusMessage& call) {
  return failure(
      call, DBUS_ERROR_UNKNOWN_METHOD,
      fmt::format("Unknown method {} or interface {}.", text_of(dbus_message_get_member(&call)),
                  text_of(dbus_message_get_interface(&call))));
}

Message unregistered(DBusMessage& call) {
  return failure(call, DBUS_ERROR_ACCESS_DENIED,
                 "Client tried to send a message other than Hello without being registered");
}

Message unauthorized(DBusMessage& call, const Caller& caller) {
  if (caller.uid == 0 || !caller.asked)
    return failure(call, DBUS_ERROR_ACCESS_DENIED, "Permission denied");
  return failure(call, DBUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                 "Interactive authentication required.");
}

Message wrong_arguments(DBusMessage& call, std::string_view wanted) {
  return failure(call, DBUS_ERROR_INVALID_ARGS,
                 fmt::format("Invalid arguments '{}' to call {}.{}(), expecting '{}'.",
                             text_of(dbus_message_get_signature(&call)),
                             text_of(dbus_message_get_interface(&call)),
                             text_of(dbus_message_get_member(&call)), wanted));
}

Answers::Answers(json document) : document_(std::move(document)) {
  for (const json& unit : document_["units"])
    units_.emplace(unit["name"].get<std::string>(), &unit);
  for (const auto& [alias, name] : document_["aliases"].items())
    if (const json* unit = unit_named(name.get<std::string>())) units_.emplace(alias, unit);
}

std::string Answers::owner_of(std::string_view name) const {
  if (name == bus_name) return bus_name;
  for (const json& one : document_["names"])
    if (one["name"] == name || one["owner"] == name) return one["owner"].get<std::string>();
  return {};
}

const json* Answers::unit_named(std::string_view name) const {
  const auto found = units_.find(name);
  return found == units_.end() ? nullptr : found->second;
}

bool Answers::is_of(const std::string& path, std::string_view service) const {
  const auto found = document_["objects"].find(path);
  if (found != document_["objects"].end()) return (*found)["name"] == service;
  return service == "org.freedesktop.systemd1" &&
         path.starts_with("/org/freedesktop/systemd1/unit/");
}

const json* Answers::object(const std::string& path, json& made) const {
  const auto found = document_["objects"].find(path);
  if (found != document_["objects"].end()) return &(*found)["interfaces"];
  constexpr std::string_view place = "/org/freedesktop/systemd1/unit/";
  if (!path.starts_with(place)) return nullptr;
  const auto name = unescaped(std::string_view(path).substr(place.size()));
  constexpr std::size_t longest_name = 255;
  if (const json* unit = name ? unit_named(*name) : nullptr)
    return &document_["objects"][(*unit)["path"].get<std::string>()]["interfaces"];
  if (!name || name->size() > longest_name) return nullptr;
  const std::size_t dot = name->rfind('.');
  if (dot == std::string::npos || dot == 0) return nullptr;
  static const std::map<std::string, const char*, std::less<>> kinds{
      {"service", "Service"}, {"socket", "Socket"}, {"target", "Target"},
      {"device", "Device"},   {"mount", "Mount"},   {"automount", "Automount"},
      {"swap", "Swap"},       {"timer", "Timer"},   {"path", "Path"},
      {"slice", "Slice"},     {"scope", "Scope"}};
  const auto kind = kinds.find(name->substr(dot + 1));
  const bool valid = std::all_of(name->begin(), name->end(), [](unsigned char c) {
    return (c < 128 && std::isalnum(c) != 0) ||
           std::string_view(":-_.\\@").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (kind == kinds.end() || !valid) return nullptr;
  made = document_["absent"];
  const std::string own = std::string("org.freedesktop.systemd1.") + kind->second;
  constexpr const char* service = "org.freedesktop.systemd1.Service";
  if (own != service) made.erase(service);
  if (!made.contains(own)) made[own] = json::object();
  json& unit = made["org.freedesktop.systemd1.Unit"];
  unit["Id"] = row("s", *name);
  unit["Names"] = row("as", row(*name));
  unit["Description"] = row("s", *name);
  unit["LoadError"] =
      row("(ss)", row("org.freedesktop.systemd1.NoSuchUnit", "Unit " + *name + " not found."));
  return &made;
}

Message Answers::answer(DBusMessage& message, Caller& caller,
                        const std::vector<std::string>& connected) {
  if (dbus_message_get_type(&message) != DBUS_MESSAGE_TYPE_METHOD_CALL) return nullptr;
  Call call{message,
            caller,
            connected,
            std::string(text_of(dbus_message_get_destination(&message))),
            std::string(text_of(dbus_message_get_path(&message))),
            std::string(text_of(dbus_message_get_interface(&message))),
            std::string(text_of(dbus_message_get_member(&message)))};
  Message made;
  if (caller.direct) {
    call.service = "org.freedesktop.systemd1";
  } else if (call.service.empty()) {
    call.service = bus_name;
  }
  const std::string owner = caller.direct ? "" : owner_of(call.service);
  const json& activatable = document_["activatable"];
  const bool starts =
      std::find(activatable.begin(), activatable.end(), call.service) != activatable.end();
  if (call.service == bus_name) {
    made = driver(call);
  } else if (caller.name.empty() && !caller.direct) {
    made = unregistered(message);
  } else if (!caller.direct && owner.empty() && !starts) {
    made = call.service.starts_with(":")
               ? failure(message, DBUS_ERROR_NAME_HAS_NO_OWNER, "No such name")
               : failure(message, DBUS_ERROR_SERVICE_UNKNOWN,
                         "The name " + call.service + " was not provided by any .service files");
  } else {
    // One that is spoken to by its unique name.
    for (const json& one : document_["names"])
      if (one["owner"] == call.service) call.service = one["name"].get<std::string>();
    made = jobs(call);
    for (auto part : {&Answers::peer, &Answers::properties, &Answers::introspect, &Answers::manager,
                      &Answers::unit, &Answers::login, &Answers::host_and_time})
      if (!made) made = (this->*part)(call);
    if (!made) {
      json scratch;
      made =
          object(call.path, scratch) == nullptr || !is_of(call.path, call.service)
              ? failure(message, DBUS_ERROR_UNKNOWN_OBJECT, "Unknown object '" + call.path + "'.")
              : unknown_method(message);
    }
  }
  if (made && !caller.direct) {
    dbus_message_set_sender(made.get(), owner.empty() ? bus_name : owner.c_str());
    if (!caller.name.empty()) dbus_message_set_destination(made.get(), caller.name.c_str());
  }
  if (dbus_message_get_no_reply(&message) != 0) return nullptr;
  return made;
}

Message Answers::peer(Call& call) {
  if (call.interface != "org.freedesktop.DBus.Peer") return nullptr;
  if (call.member == "Ping") return reply(call.message, "", json::array());
  if (call.member == "GetMachineId") return reply(call.message, "s", row(document_["machine_id"]));
  return unknown_method(call.message);
}

Message Answers::properties(Call& call) {
  if (call.interface != properties_interface) return nullptr;
  json scratch;
  const json* interfaces = object(call.path, scratch);
  if (interfaces == nullptr || !is_of(call.path, call.service))
    return failure(call.message, DBUS_ERROR_UNKNOWN_OBJECT, "Unknown object '" + call.path + "'.");
  if (call.member == "GetAll") {
    const auto asked = arguments(call.message, "s");
    if (!asked) return wrong_arguments(call.message, "s");
    if (!(*asked)[0].empty() && !interfaces->contains((*asked)[0]))
      return failure(call.message, DBUS_ERROR_UNKNOWN_INTERFACE,
                     "Unknown interface '" + (*asked)[0] + "'.");
    json all = json::array();
    for (const auto& [interface, values] : interfaces->items())
      if ((*asked)[0].empty() || (*asked)[0] == interface)
        for (const auto& [name, value] : values.items()) all.push_back(row(name, value));
    return reply(call.message, "a{sv}", row(all));
  }
  if (call.member == "Get") {
    const auto asked = arguments(call.message, "ss");
    if (!asked) return wrong_arguments(call.message, "ss");
    const auto interface = interfaces->find((*asked)[0]);
    if (interface != interfaces->end() && interface->contains((*asked)[1]))
      return reply(call.message, "v", row((*interface)[(*asked)[1]]));
    return failure(call.message, DBUS_ERROR_UNKNOWN_PROPERTY,
                   fmt::format("Unknown interface {} or property {}.", (*asked)[0], (*asked)[1]));
  }
  if (call.member == "Set")
    return failure(call.message, DBUS_ERROR_PROPERTY_READ_ONLY, "Property is not writable.");
  return unknown_method(call.message);
}

// Members with their types; methods are not listed.
Message Answers::introspect(Call& call) {
  if (call.interface != "org.freedesktop.DBus.Introspectable" || call.member != "Introspect")
    return nullptr;
  std::string text =
      "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n"
      "\"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n";
  json scratch;
  const json* interfaces = is_of(call.path, call.service) ? object(call.path, scratch) : nullptr;
  if (interfaces != nullptr)
    for (const auto& [interface, values] : interfaces->items()) {
      text += " <interface name=\"" + interface + "\">\n";
      for (const auto& [name, value] : values.items())
        text += fmt::format("  <property name=\"{}\" type=\"{}\" access=\"read\">\n  </property>\n",
                            name, value[0].get<std::string>());
      text += " </interface>\n";
    }
  std::set<std::string> below;
  const std::string prefix = call.path == "/" ? "/" : call.path + "/";
  for (const auto& [path, value] : document_["objects"].items())
    if (path.starts_with(prefix) && value["name"] == call.service)
      below.insert(path.substr(prefix.size(), path.find('/', prefix.size()) - prefix.size()));
  if (interfaces == nullptr && below.empty())
    return failure(call.message, DBUS_ERROR_UNKNOWN_OBJECT, "Unknown object '" + call.path + "'.");
  for (const std::string& child : below) text += " <node name=\"" + child + "\"/>\n";
  return reply(call.message, "s", row(text + "</node>\n"));
}

}  // namespace gyges::bus
