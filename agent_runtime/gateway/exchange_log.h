// exchanges.jsonl of a run bundle: every request that an agent made to its model's host and the
// answer it got, one JSON object a line (policies/schemas/exchange.schema.json). Bodies are stored
// whole under blobs/ by their hash; keys of providers never get here.
//
// Bounded: once most_stored bytes of bodies are kept, further ones are counted and hashed only.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/model/conversation.h"
#include "base/error.h"
#include "base/fd.h"

namespace gyges::gateway {

struct ExchangeRecord {
  std::uint64_t time_ns = 0;  // the request was whole; CLOCK_MONOTONIC
  std::uint64_t duration_ns = 0;
  std::string method, host, target;  // as the agent sent them
  bool tls = false;
  std::string dialect;  // empty: nobody's API
  std::string kind;  // generate, count_tokens, models, probe, upgrade, tools, unknown, unauthorised
  int status = 0;
  bool streamed = false;
  bool broken = false;                 // the agent closed before the answer was whole
  std::uint32_t thread = 0, turn = 0;  // of the transcript; 0: none
  std::string request_body, answer_body;
  std::vector<std::string> hosted_tools;  // tools run by the provider that the agent asked for
  bool hosted_removed = false;
  model::Losses losses;
  std::string fault;  // why the request was not understood, or the model did not answer
};

class ExchangeLog {
 public:
  static constexpr std::uint64_t most_stored = 2ULL << 30U;
  static constexpr std::uint64_t most_lines = 100'000;

  // Creates the file, which must not exist, in a bundle.
  static Result<ExchangeLog> create(const std::filesystem::path& bundle);
  Status write(const ExchangeRecord& record);
  [[nodiscard]] std::uint64_t lines() const { return lines_; }

 private:
  ExchangeLog(std::filesystem::path bundle, UniqueFd file)
      : bundle_(std::move(bundle)), file_(std::move(file)) {}
  Result<std::string> store(std::string_view body, bool& stored);

  std::filesystem::path bundle_;
  UniqueFd file_;
  std::uint64_t stored_ = 0;
  std::uint64_t lines_ = 0;
};

}  // namespace gyges::gateway
