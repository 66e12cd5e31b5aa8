// The simulated internet of a persona, made ready for one run: its templates filled in, packed for
// the gateway, and its certificate authority as files of the trust store.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/persona.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::cues {

struct PreparedInternet {
  std::string packed;                            // for network::open_world(); empty: no internet
  std::vector<isolation::SeedFile> trust_store;  // below /etc/ssl and /usr/local/share
};

// Nothing in it for a persona without the section `internet`.
Result<PreparedInternet> prepare_internet(const Persona& persona, const TemplateContext& context);

}  // namespace gyges::cues
