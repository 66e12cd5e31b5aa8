#include "sandbox/network/flow_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/hash.h"
#include "sandbox/network/flows/flow_json.h"

namespace gyges::network {
namespace {

constexpr std::size_t buffer_bytes = 65536;

// The gateway is not trusted to be brief. A byte takes at most six in JSON: what is kept makes a
// line that readers take (longest_flow_line).
class Trimmer {
 public:
  void operator()(std::string& text) {
    std::size_t most = std::min(left_, longest_text);
    cut_ |= text.size() > most;
    if (text.size() > most) text.resize(most);
    left_ -= std::min(left_, text.size() + 16);  // with what stands around it
  }
  template <class Item, class Each>
  void list(std::vector<Item>& items, Each&& each) {
    std::size_t kept = 0;
    for (; kept < items.size() && left_ > 0; ++kept) each(items[kept]);
    cut_ |= kept < items.size();
    items.resize(kept);
  }
  void headers(std::vector<std::pair<std::string, std::string>>& list_of) {
    list(list_of, [this](auto& header) {
      (*this)(header.first);
      (*this)(header.second);
    });
  }
  // Whole or not at all: what reads it expects the whole. Outside of what is left: two of them in
  // base64 fit beside it.
  void message(std::string& bytes) {
    if (bytes.size() <= longest_dns_message) return;
    cut_ = true;
    bytes.clear();
  }
  [[nodiscard]] bool cut() const { return cut_; }

 private:
  static constexpr std::size_t longest_text = 16384;
  std::size_t left_ = 131072;
  bool cut_ = false;
};

Flow trimmed(Flow flow) {
  Trimmer trim;
  for (std::string* text : {&flow.name, &flow.rule, &flow.reason, &flow.sni, &flow.alpn, &flow.tls})
    trim(*text);
  trim.list(flow.canaries, [&](CanaryHit& hit) {
    for (std::string* text : {&hit.canary, &hit.encoding, &hit.place, &hit.evidence}) trim(*text);
  });
  if (flow.dns) {
    for (std::string* text : {&flow.dns->name, &flow.dns->type, &flow.dns->code}) trim(*text);
    trim.list(flow.dns->answers, trim);
    for (std::string* message : {&flow.dns->query, &flow.dns->response}) trim.message(*message);
  }
  if (flow.http) {
    for (std::string* text : {&flow.http->version, &flow.http->method, &flow.http->url})
      trim(*text);
    trim.headers(flow.http->request_headers);
    trim.headers(flow.http->response_headers);
  }
  if (trim.cut())
    flow.reason += flow.reason.empty() ? "the record was cut" : "; the record was cut";
  return flow;
}

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

Status FlowWriter::write(Flow flow) {
  auto store = [this](std::string_view bytes) -> Result<std::string> {
    std::string hash = to_hex(sha256(bytes));
    if (stored_.contains(hash)) return hash;
    std::filesystem::path path = bundle_ / "blobs" / hash;
    // Another part of the run may have stored the same bytes.
    if (!std::filesystem::exists(path)) GYGES_CHECK(write_file_atomically(path, bytes));
    stored_.insert(hash);
    return hash;
  };
  GYGES_TRY(std::string line, flow_line(trimmed(std::move(flow)), store));
  buffer_ += line;
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
