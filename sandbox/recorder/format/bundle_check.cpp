#include "sandbox/recorder/format/bundle_check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/regular_file.h"
#include "sandbox/recorder/format/bundle_files.h"
#include "sandbox/recorder/format/ledger.h"
#include "sandbox/recorder/format/trace_check.h"

namespace gyges::recorder {
namespace fs = std::filesystem;
namespace {

// Whether the file begins with all that was sealed.
bool begins_as_sealed(const fs::path& path, std::uint64_t size, const std::string& sealed) {
  auto fd = open_regular_file(path);
  if (!fd) return false;
  Sha256Hasher hasher;
  std::vector<char> chunk(1U << 16U);
  while (size > 0) {
    const ssize_t got =
        ::read(fd->get(), chunk.data(), std::min<std::uint64_t>(size, chunk.size()));
    if (got <= 0) return false;
    hasher.update({chunk.data(), static_cast<std::size_t>(got)});
    size -= static_cast<std::uint64_t>(got);
  }
  return to_hex(hasher.finish()) == sealed;
}

BundleFault file_fault(const fs::path& directory, const std::string& name, const FileFacts& facts,
                       const nlohmann::json& sealed) {
  auto size = sealed["size"].get<std::uint64_t>();
  const auto hash = sealed["sha256"].get<std::string>();
  bool same_bytes = facts.sha256 == hash;
  if (!facts.regular) return {name, "replaced by something that is no regular file"};
  if (same_bytes && facts.size != size) return {name, "the seal states another size"};
  if (facts.size != size) {
    BundleFault fault{name, fmt::format("changed: {} bytes instead of {}", facts.size, size)};
    if (facts.size > size && begins_as_sealed(directory / name, size, hash)) {
      fault.reason += fmt::format(": the last {} were added", facts.size - size);
      fault.first_bad_byte = BadByte{size, size, "the sealed file ends there"};
    }
    return fault;
  }
  return {name, same_bytes ? "" : "changed"};
}

// A trace sealed unfinished is a fault, even if it is as it was sealed.
void look_into_trace(const fs::path& path, const nlohmann::json& seal, BundleFault& fault,
                     BundleCheck& check) {
  const nlohmann::json& head = seal["trace_chain_head"];
  const std::string sealed_head = head.is_string() ? head.get<std::string>() : "";
  TraceCheck found;
  if (auto checked = check_trace(path, sealed_head))
    found = std::move(*checked);
  else
    found.fault = checked.error().line();
  check.chain_head = found.chain_head;
  if (found.fault.empty() && found.chain_head != sealed_head)
    found.fault = "another trace, whole in itself, with another chain head";
  if (found.fault.empty()) return;
  if (fault.reason.starts_with("changed"))
    fault.reason = "changed: " + found.fault;
  else if (fault.reason.empty())
    fault.reason = found.fault;
  if (found.first_bad_byte) fault.first_bad_byte = std::move(found.first_bad_byte);
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
    BundleFault fault = file_fault(directory, path, found->second, sealed);
    if (path == trace_name && found->second.regular)
      look_into_trace(directory / path, seal, fault, check);
    if (!fault.reason.empty()) check.faults.push_back(std::move(fault));
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
