#include "cli/open_recorder.h"

namespace gyges::cli {

Result<std::unique_ptr<recorder::Recorder>> open_recorder(
    const std::string& choice, const recorder::RecorderOptions& options) {
  if (choice == "off") return std::unique_ptr<recorder::Recorder>();
  std::optional<recorder::Backend> backend;
  if (choice == "ebpf") backend = recorder::Backend::ebpf;
  if (choice == "ptrace") backend = recorder::Backend::ptrace;
  return recorder::Recorder::open(backend, options);
}

}  // namespace gyges::cli
