// The packet socket that shows the gateway what the sandbox attempts.
#pragma once

#include "base/error.h"

namespace gyges::network {

// Binds `tap`, a packet socket of the gateway's namespace, to the gateway's end of the link. It then
// receives what opens or carries something: everything of IP but TCP segments that are no SYN. Room
// for 8 MiB. From Linux 4.20 on.
Status open_tap(int tap);

}  // namespace gyges::network
