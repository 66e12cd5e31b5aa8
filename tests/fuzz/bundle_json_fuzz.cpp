// seal.json, run.json, the coverage statement and ledger lines of a stranger.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle_files.h"
#include "sandbox/recorder/format/ledger.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/seal_key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges;
  using namespace gyges::recorder;
  std::string text(reinterpret_cast<const char*>(data), size);
  auto json = parse_json(text, "fuzz");
  if (json) {
    if (validate_json(*json, "seal", "fuzz")) {
      // What verify does with a seal that fits its schema.
      std::string content = signed_part(*json);
      const nlohmann::json& signature = (*json)["signature"];
      if (signature.is_object()) {
        auto key = parse_public_key(signature["public_key"].get<std::string>());
        if (!key) std::abort();
        (void)signature_is_good(*key, content, signature["value"].get<std::string>());
      }
      for (const nlohmann::json& file : (*json)["files"]) (void)file["size"].get<std::uint64_t>();
    }
    (void)validate_json(*json, "run", "fuzz");
    auto coverage = coverage_from_json(*json, "fuzz");
    if (coverage && coverage_to_json(*coverage).size() != json->size()) std::abort();
  }
  static const int fd = ::memfd_create("ledger", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size))
    std::abort();
  auto found = look_up(path, "0123456789abcdef");
  if (!found) std::abort();
  return 0;
}
