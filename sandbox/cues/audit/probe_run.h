// Running the probe: in a sandbox of Gyges, on this host, or in whatever a command of the caller's
// starts (docker, bwrap, firejail, ssh).
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/cues/audit/reading.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::recorder {
class Recorder;
}

namespace gyges::cues {

// The static program, as bytes.
std::string_view probe_program();

// Writes it, mode 0755; nothing may stand there.
Status extract_probe(const std::filesystem::path& file);

struct ProbeRequest {
  std::vector<std::string> arguments;  // as of the probe: beginnings of channels, file:/PATH
  std::chrono::seconds limit{30};
};

// Text as the probe wrote it, for parse_reading(). The sandbox is started, and stopped when the
// probe has ended. The probe is handed over as a file without a name, so that the sandbox holds
// nothing that a run would not. `recorder` (borrowed, may be null) records it as it would a run.
struct SandboxToProbe {
  isolation::SandboxSpec spec;
  std::vector<std::string> environment;
  std::string directory;
};
Result<std::string> probe_sandbox(const SandboxToProbe& sandbox, recorder::Recorder* recorder,
                                  const ProbeRequest& request);

Result<std::string> probe_host(const ProbeRequest& request);

// `prefix` starts a command inside: {"docker", "run", "-i", "--rm", "debian"}. What it starts must
// pass standard input on and have /bin/sh, cat, chmod and a directory below /tmp or /dev/shm that
// it may write to and execute from.
Result<std::string> probe_container(const std::vector<std::string>& prefix,
                                    const ProbeRequest& request);

// A command line in one word, taken apart at white space as a shell does, with ' " and \.
Result<std::vector<std::string>> split_command(std::string_view line);

}  // namespace gyges::cues
