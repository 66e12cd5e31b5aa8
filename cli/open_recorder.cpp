#include "cli/open_recorder.h"

#include <optional>

namespace gyges::cli {
namespace {

std::optional<recorder::Backend> backend_of(const std::string& choice) {
  if (choice == "ebpf") return recorder::Backend::ebpf;
  if (choice == "ptrace") return recorder::Backend::ptrace;
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<recorder::Recorder>> open_recorder(
    const std::string& choice, const recorder::RecorderOptions& options) {
  if (choice == "off") return std::unique_ptr<recorder::Recorder>();
  return recorder::Recorder::open(backend_of(choice), options);
}

std::unique_ptr<recorder::Recorder> open_recorder_ahead(const std::string& choice,
                                                        const recorder::RecorderOptions& options) {
  if (choice == "off") return nullptr;
  return recorder::Recorder::open_ahead(backend_of(choice), options);
}

}  // namespace gyges::cli
