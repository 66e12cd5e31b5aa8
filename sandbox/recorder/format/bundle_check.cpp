#include "sandbox/recorder/format/bundle_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle_files.h"
#include "sandbox/recorder/format/ledger.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::recorder {
namespace fs = std::filesystem;
namespace {

// What is wrong with a trace that is not the sealed one: the first bad byte where the running hash
// shows it. Empty: nothing.
std::string trace_fault(const Result<TraceReader>& reader, const std::string& sealed_head) {
  if (!reader) return reader.error().line();
  if (reader->damage())
    return fmt::format("block {} at byte {}: {}; {} events before it are good",
                       reader->damage()->block, reader->damage()->offset, reader->damage()->reason,
                       reader->damage()->first_missing);
  if (to_hex(reader->chain_head()) != sealed_head)
    return "another trace, whole in itself, with another chain head";
  return {};
}

std::string file_fault(const FileFacts& facts, const nlohmann::json& sealed) {
  auto size = sealed["size"].get<std::uint64_t>();
  bool same_bytes = facts.sha256 == sealed["sha256"].get<std::string>();
  if (!facts.regular) return "replaced by something that is no regular file";
  if (same_bytes && facts.size != size) return "the seal states another size";
  if (facts.size != size) return fmt::format("changed: {} bytes instead of {}", facts.size, size);
  return same_bytes ? "" : "changed";
}

// A trace sealed unfinished is a fault, even if it is as it was sealed.
void check_trace(const fs::path& path, const nlohmann::json& seal, std::string& fault,
                 BundleCheck& check) {
  const nlohmann::json& head = seal["trace_chain_head"];
  auto reader = TraceReader::open(path);
  if (reader) check.chain_head = to_hex(reader->chain_head());
  std::string found = trace_fault(reader, head.is_string() ? head.get<std::string>() : "");
  if (fault.starts_with("changed") && !found.empty())
    fault = "changed: " + found;
  else if (fault.empty())
    fault = found;
}

void check_signature(const nlohmann::json& seal, BundleCheck& check) {
  const nlohmann::json& signature = seal["signature"];
  if (signature.is_null()) return;
  auto key = parse_public_key(signature["public_key"].get<std::string>());
  if (key && signature_is_good(*key, signed_part(seal), signature["value"].get<std::string>()))
    check.signer = *key;
  else
    check.faults.push_back(
        {std::string(seal_name), "its signature does not fit: the seal was changed after signing"});
}

Status check_ledger(const fs::path& ledger, const nlohmann::json& seal, BundleCheck& check) {
  auto found = look_up(ledger, check.run_id);
  if (!found && found.error().code == ENOENT) return ok();
  if (!found) return tl::unexpected<Error>(std::move(found.error()));
  check.unreadable_ledger_lines = found->unreadable;
  check.ledger = found->entries.empty() ? LedgerFinding::unknown : LedgerFinding::agrees;
  std::string hash = to_hex(sha256(signed_part(seal)));
  const nlohmann::json& signature = seal["signature"];
  std::string key = signature.is_object() ? signature["public_key"].get<std::string>() : "";
  // Every entry must agree: a run is sealed once, so a second entry with other content is of
  // somebody who sealed it again.
  for (const LedgerEntry& entry : found->entries) {
    if (entry.seal == hash && entry.key == key) continue;
    check.ledger = LedgerFinding::differs;
    const nlohmann::json& head = seal["trace_chain_head"];
    bool same_trace = entry.chain_head == (head.is_string() ? head.get<std::string>() : "");
    check.faults.push_back({std::string(seal_name),
                            fmt::format("differs from the ledger: run {} was sealed at {} with {}",
                                        entry.run_id, entry.time,
                                        !same_trace          ? "another trace"
                                        : entry.seal != hash ? "other files"
                                                             : "another key")});
    break;
  }
  return ok();
}

}  // namespace

Result<BundleCheck> check_bundle(const fs::path& directory, const fs::path& ledger) {
  std::error_code error;
  if (fs::is_directory(directory, error) && !fs::exists(directory / seal_name, error) && !error)
    return fail(
        "verify run", directory.string(),
        "it has no seal.json: the run goes on, its supervisor died, or the seal was removed",
        "wait for the run's end; of a run that died, `gyges verify RUN/trace.gyt` checks "
        "the trace alone, whose good part `gyges trace show` prints");
  const std::string seal_path = (directory / seal_name).string();
  GYGES_TRY(std::string seal_text, read_file(seal_path));
  GYGES_TRY(nlohmann::json seal, parse_json(seal_text, seal_path));
  GYGES_CHECK(validate_json(seal, "seal", seal_path));
  GYGES_TRY(FileList files, list_files(directory));
  BundleCheck check;
  check.run_id = seal["run_id"];
  for (const nlohmann::json& reason : seal["omitted"]) check.omitted.push_back(reason);
  // The signature is of what it says; not a byte of how it is written has changed either.
  if (seal_text != seal_document(seal))
    check.faults.push_back({std::string(seal_name), "changed: it is not written as it was sealed"});
  check_signature(seal, check);
  if (!ledger.empty()) GYGES_CHECK(check_ledger(ledger, seal, check));
  for (const nlohmann::json& sealed : seal["files"]) {
    auto path = sealed["path"].get<std::string>();
    // Only looked up among the files found, never opened: a seal may name anything.
    auto found = files.find(path);
    if (found == files.end()) {
      check.faults.push_back({path, "missing"});
      continue;
    }
    std::string fault = file_fault(found->second, sealed);
    if (path == trace_name && found->second.regular)
      check_trace(directory / path, seal, fault, check);
    if (!fault.empty()) check.faults.push_back({path, fault});
    files.erase(found);
  }
  for (const auto& [path, facts] : files) check.faults.push_back({path, "not in the seal"});
  std::stable_sort(check.faults.begin(), check.faults.end(),
                   [](const BundleFault& a, const BundleFault& b) { return a.file < b.file; });
  return check;
}

Result<std::vector<BundleFault>> verify_bundle(const fs::path& directory) {
  GYGES_TRY(BundleCheck check, check_bundle(directory));
  return std::move(check.faults);
}

}  // namespace gyges::recorder
