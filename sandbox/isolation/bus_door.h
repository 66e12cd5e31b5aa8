// The listening sockets of a persona's system bus, and the process that answers there.
//
// Pid 1 makes the sockets, as systemd does, and hands them over. Nothing listens to them but a
// thread that sleeps until the first client comes. It starts the responder (sandbox/bus) then: a
// process outside of the sandbox, without privileges, files or network, for which everything from
// inside is hostile. Nobody inside sees it; what makes it end gains a silence, which the next
// client ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::isolation {

// The sockets' paths inside, in the order of sandbox/bus/document.h.
inline constexpr const char* bus_socket_paths[] = {"/run/dbus/system_bus_socket",
                                                   "/run/systemd/private"};

// Whether this build has the responder (cmake -D GYGES_SYSTEM_BUS).
bool has_bus_responder();

class BusDoor {
 public:
  // Makes the document (sandbox/bus/document.h). Called by a thread of the door's own at the first
  // client, and once more for each responder that is started later.
  using Document = std::function<std::string()>;

  static Result<std::unique_ptr<BusDoor>> open(std::vector<UniqueFd> sockets, Document document);
  // Nobody is answered any more; the destructor then has less to wait for.
  void begin_close();
  // Ends the responder.
  ~BusDoor();
  BusDoor(const BusDoor&) = delete;
  BusDoor& operator=(const BusDoor&) = delete;

 private:
  BusDoor(std::vector<UniqueFd> sockets, Document document)
      : sockets_(std::move(sockets)), document_(std::move(document)) {}
  void keep();
  bool answer();

  std::vector<UniqueFd> sockets_;
  Document document_;
  UniqueFd wake_;  // an eventfd; written to end the thread
  std::thread thread_;
};

}  // namespace gyges::isolation
