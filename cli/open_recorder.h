// The --recorder option, the same for every command that records.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::cli {

inline constexpr const char* recorder_help =
    "what records system calls: auto (ebpf where it loads, otherwise ptrace), ebpf, ptrace, off";

// Null for "off". An explicit choice that this host cannot have is an error.
Result<std::unique_ptr<recorder::Recorder>> open_recorder(
    const std::string& choice, const recorder::RecorderOptions& options = {});

// The same, but opened while other things are done; failures show when a session is waited for.
std::unique_ptr<recorder::Recorder> open_recorder_ahead(const std::string& choice,
                                                        const recorder::RecorderOptions& options);

}  // namespace gyges::cli
