#include "sandbox/bus/message.h"

#include <time.h>

#include <cstdint>
#include <nlohmann/json.hpp>

namespace gyges::bus {
namespace {

using nlohmann::json;

template <class Number>
bool append_number(DBusMessageIter& into, int type, const json& value) {
  if (!value.is_number() && !value.is_boolean()) return false;
  const Number number =
      value.is_boolean() ? static_cast<Number>(value.get<bool>() ? 1 : 0) : value.get<Number>();
  return dbus_message_iter_append_basic(&into, type, &number) != 0;
}

std::uint64_t microseconds_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

bool append_basic(DBusMessageIter& into, int type, const json& value) {
  switch (type) {
    case DBUS_TYPE_STRING:
    case DBUS_TYPE_OBJECT_PATH:
    case DBUS_TYPE_SIGNATURE: {
      if (!value.is_string()) return false;
      const char* text = value.get_ref<const std::string&>().c_str();
      return dbus_message_iter_append_basic(&into, type, &text) != 0;
    }
    case DBUS_TYPE_BOOLEAN:
      return append_number<dbus_bool_t>(into, type, value);
    case DBUS_TYPE_BYTE:
      return append_number<std::uint8_t>(into, type, value);
    case DBUS_TYPE_INT32:
      return append_number<std::int32_t>(into, type, value);
    case DBUS_TYPE_UINT32:
      return append_number<std::uint32_t>(into, type, value);
    case DBUS_TYPE_INT64:
      return append_number<std::int64_t>(into, type, value);
    case DBUS_TYPE_UINT64: {
      if (value == "now") return append_number<std::uint64_t>(into, type, microseconds_now());
      return append_number<std::uint64_t>(into, type, value);
    }
    case DBUS_TYPE_DOUBLE:
      return append_number<double>(into, type, value);
    default:
      return false;
  }
}

bool append_one(DBusMessageIter& into, DBusSignatureIter& type, const json& value);

bool append_members(DBusMessageIter& into, DBusSignatureIter& type, const json& values) {
  if (!values.is_array()) return false;
  // Behind a structure's last member the iterator stands at its bracket.
  bool more = dbus_signature_iter_get_current_type(&type) != DBUS_TYPE_INVALID;
  for (const json& value : values) {
    if (!more || !append_one(into, type, value)) return false;
    more = dbus_signature_iter_next(&type) != 0;
  }
  return !more;
}

bool append_array(DBusMessageIter& into, DBusSignatureIter& type, const json& values) {
  if (!values.is_array()) return false;
  DBusSignatureIter element;
  dbus_signature_iter_recurse(&type, &element);
  char* signature = dbus_signature_iter_get_signature(&element);
  DBusMessageIter inside;
  bool fits = dbus_message_iter_open_container(&into, DBUS_TYPE_ARRAY, signature, &inside) != 0;
  dbus_free(signature);
  if (!fits) return false;
  for (const json& value : values) {
    DBusSignatureIter each = element;
    fits = fits && append_one(inside, each, value);
  }
  return dbus_message_iter_close_container(&into, &inside) != 0 && fits;
}

bool append_one(DBusMessageIter& into, DBusSignatureIter& type, const json& value) {
  const int kind = dbus_signature_iter_get_current_type(&type);
  switch (kind) {
    case DBUS_TYPE_ARRAY:
      return append_array(into, type, value);
    case DBUS_TYPE_VARIANT:
      return append_variant(into, value);
    case DBUS_TYPE_STRUCT:
    case DBUS_TYPE_DICT_ENTRY: {
      DBusSignatureIter members;
      dbus_signature_iter_recurse(&type, &members);
      DBusMessageIter inside;
      if (dbus_message_iter_open_container(&into, kind, nullptr, &inside) == 0) return false;
      const bool fits = append_members(inside, members, value);
      return dbus_message_iter_close_container(&into, &inside) != 0 && fits;
    }
    default:
      return append_basic(into, kind, value);
  }
}

std::string text_at(DBusMessageIter& from) {
  DBusBasicValue value{};
  dbus_message_iter_get_basic(&from, &value);
  switch (dbus_message_iter_get_arg_type(&from)) {
    case DBUS_TYPE_STRING:
    case DBUS_TYPE_OBJECT_PATH:
      return value.str;
    case DBUS_TYPE_UINT32:
      return std::to_string(value.u32);
    case DBUS_TYPE_BOOLEAN:
      return value.bool_val != 0 ? "true" : "false";
    default:
      return {};
  }
}

}  // namespace

std::string_view text_of(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

bool append(DBusMessage& message, const std::string& signature, const json& values) {
  if (signature.empty()) return values.empty();
  DBusMessageIter into;
  dbus_message_iter_init_append(&message, &into);
  DBusSignatureIter type;
  dbus_signature_iter_init(&type, signature.c_str());
  return append_members(into, type, values);
}

bool append_variant(DBusMessageIter& into, const json& value) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_string()) return false;
  const auto& signature = value[0].get_ref<const std::string&>();
  if (dbus_signature_validate_single(signature.c_str(), nullptr) == 0) return false;
  DBusMessageIter inside;
  if (dbus_message_iter_open_container(&into, DBUS_TYPE_VARIANT, signature.c_str(), &inside) == 0)
    return false;
  DBusSignatureIter type;
  dbus_signature_iter_init(&type, signature.c_str());
  const bool fits = append_one(inside, type, value[1]);
  return dbus_message_iter_close_container(&into, &inside) != 0 && fits;
}

std::optional<std::vector<std::string>> arguments(DBusMessage& message,
                                                  std::string_view signature) {
  if (text_of(dbus_message_get_signature(&message)) != signature) return std::nullopt;
  std::vector<std::string> texts;
  DBusMessageIter from;
  if (dbus_message_iter_init(&message, &from) == 0) return texts;
  do texts.push_back(text_at(from));
  while (dbus_message_iter_next(&from) != 0);
  return texts;
}

std::optional<std::vector<std::vector<std::string>>> lists(DBusMessage& message,
                                                           std::string_view signature) {
  if (text_of(dbus_message_get_signature(&message)) != signature) return std::nullopt;
  std::vector<std::vector<std::string>> all;
  DBusMessageIter from;
  if (dbus_message_iter_init(&message, &from) == 0) return all;
  do {
    std::vector<std::string>& texts = all.emplace_back();
    DBusMessageIter inside;
    dbus_message_iter_recurse(&from, &inside);
    for (; dbus_message_iter_get_arg_type(&inside) != DBUS_TYPE_INVALID;
         dbus_message_iter_next(&inside))
      texts.push_back(text_at(inside));
  } while (dbus_message_iter_next(&from) != 0);
  return all;
}

}  // namespace gyges::bus
