// How answers begin.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "sandbox/bus/client.h"
#include "sandbox/bus/message.h"
#include "sandbox/bus/names.h"

namespace gyges::bus {

// `values`: one for each complete type of the signature.
Message reply(DBusMessage& call, const std::string& signature, const nlohmann::json& values);
Message failure(DBusMessage& call, const char* name, const std::string& text);
// In sd-bus's words, which those of the services are.
Message unknown_method(DBusMessage& call);
Message wrong_arguments(DBusMessage& call, std::string_view wanted);
// To one that has said no Hello.
Message unregistered(DBusMessage& call);
// To what would change the machine, and does not. Without polkit services refuse it at once.
Message unauthorized(DBusMessage& call, const Caller& caller);

}  // namespace gyges::bus
