// What the bus and its services answer: the driver org.freedesktop.DBus, properties of every
// object, and the methods of systemd1, login1, hostname1 and timedate1 that tell something. What
// would change the machine is refused.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/bus/client.h"
#include "sandbox/bus/message.h"

namespace gyges::bus {

class Answers {
 public:
  explicit Answers(nlohmann::json document);

  [[nodiscard]] const nlohmann::json& document() const { return document_; }
  // Null: no answer is due. `connected`: the unique names of all clients.
  Message answer(DBusMessage& message, Caller& caller, const std::vector<std::string>& connected);

 private:
  struct Call {
    DBusMessage& message;
    Caller& caller;
    const std::vector<std::string>& connected;
    std::string service, path, interface, member;
  };
  Message driver(Call& call);
  Message peer(Call& call);
  Message properties(Call& call);
  Message introspect(Call& call);
  Message manager(Call& call);
  Message unit(Call& call);
  Message jobs(Call& call);
  Message login(Call& call);
  Message host_and_time(Call& call);
  Message list_units(Call& call, bool by_names);
  Message unit_files(Call& call);
  [[nodiscard]] std::string owner_of(std::string_view name) const;
  [[nodiscard]] const nlohmann::json* unit_named(std::string_view name) const;
  // The object's interfaces; a unit that is not there has those of one. Null: there is no such
  // object.
  const nlohmann::json* object(const std::string& path, nlohmann::json& made) const;
  [[nodiscard]] bool is_of(const std::string& path, std::string_view service) const;

  nlohmann::json document_;
  std::map<std::string, const nlohmann::json*, std::less<>> units_;
};

}  // namespace gyges::bus
