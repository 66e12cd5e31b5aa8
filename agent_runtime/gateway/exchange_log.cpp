#include "agent_runtime/gateway/exchange_log.h"

#include <fcntl.h>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::gateway {
namespace {

using nlohmann::json;

constexpr std::size_t longest_text = 8192;
constexpr std::size_t most_listed = 200;

std::string bounded(std::string_view text) {
  return valid_utf8(text.substr(0, longest_text));
}

}  // namespace

Result<ExchangeLog> ExchangeLog::create(const std::filesystem::path& bundle) {
  std::error_code error;
  std::filesystem::create_directory(bundle / "blobs", error);
  if (error) return fail_errno("make directory", (bundle / "blobs").string(), error.value());
  std::filesystem::path path = bundle / "exchanges.jsonl";
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
  if (!file) return fail_errno("make file", path.string());
  return ExchangeLog(bundle, std::move(file));
}

Result<std::string> ExchangeLog::store(std::string_view body, bool& stored) {
  std::string hash = to_hex(sha256(body));
  std::filesystem::path path = bundle_ / "blobs" / hash;
  std::error_code ignored;
  stored = std::filesystem::exists(path, ignored);
  if (stored || stored_ + body.size() > most_stored) return hash;
  GYGES_CHECK(write_file_atomically(path, body));
  stored_ += body.size();
  stored = true;
  return hash;
}

Status ExchangeLog::write(const ExchangeRecord& record) {
  if (++lines_ > most_lines)
    return fail("write exchanges.jsonl", "", "the agent made more than 100000 requests",
                "look at what it asked for in vain");
  json line{{"$schema", "gyges/exchange.schema.json"},
            {"time_ns", record.time_ns},
            {"duration_ns", record.duration_ns},
            {"method", bounded(record.method)},
            {"tls", record.tls},
            {"host", bounded(record.host)},
            {"target", bounded(record.target)},
            {"dialect", record.dialect},
            {"kind", record.kind},
            {"status", record.status},
            {"streamed", record.streamed},
            {"broken", record.broken},
            {"thread", record.thread},
            {"turn", record.turn}};
  auto body = [&](const char* name, const std::string& bytes) -> Status {
    bool stored = false;
    GYGES_TRY(std::string hash, store(bytes, stored));
    line[name] = {{"size", bytes.size()}, {"sha256", hash}, {"stored", stored}};
    return ok();
  };
  GYGES_CHECK(body("request", record.request_body));
  GYGES_CHECK(body("answer", record.answer_body));
  json hosted = json::array();
  for (const auto& name : record.hosted_tools)
    if (hosted.size() < most_listed) hosted.push_back(bounded(name));
  line["hosted_tools"] = {{"names", std::move(hosted)}, {"removed", record.hosted_removed}};
  json losses = json::array();
  for (const auto& loss : record.losses)
    if (losses.size() < most_listed)
      losses.push_back({{"place", bounded(loss.place)}, {"what", bounded(loss.what)}});
  line["losses"] = std::move(losses);
  if (!record.fault.empty()) line["fault"] = bounded(record.fault);
  return write_all(file_.get(), line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n")
      .with_context("write exchanges.jsonl");
}

}  // namespace gyges::gateway
