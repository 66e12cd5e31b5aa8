// The simulated internet of a persona, made ready for one run: its templates filled in, packed for
// the gateway, and its certificate authority as files of the trust store.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/persona.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::cues {

struct PreparedInternet {
  std::string packed;                            // for network::open_world(); empty: no internet
  std::vector<isolation::SeedFile> trust_store;  // below /etc/ssl/certs
};

// Nothing in it for a persona without the section `internet`. Reads the host's trust store, whose
// authorities stay.
// `more_sites`: the text of a JSON array of further sites, which may be handed out to the
// supervisor; with it there is an internet whatever the persona has.
Result<PreparedInternet> prepare_internet(const Persona& persona, const TemplateContext& context,
                                          const std::string& more_sites = {});

// For a policy of mode gateway: appends the trust store to `files` and makes room for it, gives an
// interface that the policy leaves at its default the persona's address, and a resolver to a
// persona that names none. Does nothing in other modes.
Status apply_internet(const PreparedInternet& internet, const Persona& persona,
                      isolation::Policy& policy, std::vector<isolation::SeedFile>& files);

}  // namespace gyges::cues
