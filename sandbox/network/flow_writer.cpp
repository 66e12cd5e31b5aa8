#include "sandbox/network/flow_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/hash.h"
#include "sandbox/network/flows/flow_json.h"

namespace gyges::network {
namespace {

constexpr std::size_t buffer_bytes = 65536;

}  // namespace

Result<FlowWriter> FlowWriter::create(const std::filesystem::path& bundle) {
  std::error_code error;
  std::filesystem::create_directory(bundle / "blobs", error);
  if (error) return fail_errno("make directory", (bundle / "blobs").string(), error.value());
  std::filesystem::path path = bundle / "flows.jsonl";
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return fail_errno("make file", path.string());
  return FlowWriter(bundle, std::move(file));
}

Status FlowWriter::write(const Flow& flow) {
  auto store = [this](std::string_view bytes) -> Result<std::string> {
    std::string hash = to_hex(sha256(bytes));
    if (stored_.contains(hash)) return hash;
    std::filesystem::path path = bundle_ / "blobs" / hash;
    // Another part of the run may have stored the same bytes.
    if (!std::filesystem::exists(path)) GYGES_CHECK(write_file_atomically(path, bytes));
    stored_.insert(hash);
    return hash;
  };
  GYGES_TRY(nlohmann::json line, flow_to_json(flow, store));
  buffer_ += line.dump() + "\n";
  return buffer_.size() < buffer_bytes ? ok() : flush();
}

Status FlowWriter::flush() {
  GYGES_CHECK(write_all(file_.get(), buffer_).with_context("write flows.jsonl"));
  buffer_.clear();
  return ok();
}

Status FlowWriter::finish() {
  GYGES_CHECK(flush());
  if (::fsync(file_.get()) != 0 && errno != EINVAL) return fail_errno("sync", "flows.jsonl");
  file_.reset();
  return ok();
}

}  // namespace gyges::network
