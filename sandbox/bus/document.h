// What the responder of the system bus says: one JSON document, made by sandbox/cues from a
// persona. The responder itself knows D-Bus and the methods of a few services, and no persona.
//
//   machine_id, bus_id   32 hexadecimal digits
//   peer_uid             the user of every client; absent: the kernel's word for it is right
//   names                [{name, owner (":1.4"), uid, pid}], those that are on the bus
//   activatable          names that are started when they are asked for
//   objects              path: {name (who answers, of `names` or `activatable`),
//                        interfaces: {interface: {property: VALUE}}}
//   absent               the properties of a unit that is not there, by interface
//   units                [{name, description, load, active, sub, follows, path,
//                        processes: [[control group, pid, arguments]]}]
//   aliases              other names of units: {name: unit}
//   unit_files           [[path, state]]
//   default_target       a unit
//   sessions, users, seats   rows of login1's lists: [id, uid, user, seat, path],
//                        [uid, name, path], [id, path]
//   host_description     hostname1's Describe()
//   time_zones           names
//
// VALUE is [signature, value]: numbers and booleans as such, structures and arrays as arrays,
// dictionaries as arrays of pairs, variants as VALUE. Instead of a number "now" stands for
// microseconds since 1970.
#pragma once

#include <cstddef>

namespace gyges::bus {

// Which descriptors the responder finds at its start.
inline constexpr int document_fd = 3;
inline constexpr int first_listener_fd = 4;
// In the order of the listeners: clients say Hello at the first.
inline constexpr int bus_listener = 0;
inline constexpr int private_listener = 1;
inline constexpr int listeners = 2;

inline constexpr std::size_t most_document_bytes = 8U << 20U;

}  // namespace gyges::bus
