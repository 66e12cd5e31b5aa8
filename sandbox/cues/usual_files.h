// What is in /etc, /run and /var of a machine or a container before anything of its own: what every
// Debian has, and what the runtime of a container writes when it starts it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/cues/persona.h"

namespace gyges::cues {

// /etc/hosts as Docker or the kubelet writes it, without the persona's own lines.
std::string container_hosts(const Persona& persona);

// When its processes were started, in seconds since 1970; `as_of`: as of a template's context.
// `otherwise`: where the persona does not say.
std::int64_t start_of_container(const Persona& persona, std::uint64_t seed, std::int64_t as_of,
                                std::int64_t otherwise);

// Appends what every Debian of its kind has and `files` have not. `installed`: when it was, or its
// image was built, in seconds since 1970. The same arguments give the same bytes.
void add_usual_files(const Persona& persona, std::int64_t installed,
                     std::vector<isolation::SeedFile>& files);

// Gives root's files to the accounts and groups that Debian gives them to, as far as the persona
// has those: who reads passwords and writes logins, logs and mail without being root.
void give_to_usual_owners(const Persona& persona, std::vector<isolation::SeedFile>& files);

// "8-4-4-4-12": the number of the pod, which its token and its table of mounts name.
std::string pod_uid(std::uint64_t seed);

}  // namespace gyges::cues
