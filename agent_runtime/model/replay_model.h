// A recorded conversation as a model: answers a request that says the same as a recorded one with
// the recorded reply.
//
// Requests are compared as parsed conversations, not as bytes: key order, spelling of JSON, ids of
// calls and what a provider counts or signs do not matter. Who says what, which calls with which
// arguments, which results and which tools do. Texts may hold what changes from run to run (ids,
// times, temporary names); expressions of the recording's mask take it out on both sides.
//
// The file: one JSON object a line, {"dialect", "path", "request", "reply"} where request is the
// body and reply the body or the text of the stream, both as they crossed the wire; a first line
// {"mask": [EXPRESSION, ...]} may stand before them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/model_client.h"
#include "base/pattern.h"

namespace gyges::model {

struct Exchange {
  ModelRequest request;
  Reply reply;
  std::vector<std::string> lines;  // the request, as it is compared
};

struct Recording {
  std::vector<Exchange> exchanges;
  std::vector<Pattern> mask;
};

// At most 1 GiB. Every line is parsed now: what cannot be replayed is an error here.
Result<Recording> load_recording(const std::filesystem::path& path);
Result<Recording> parse_recording(std::string_view text, const std::string& source);

// What of a request counts, one fact a line, in the order of the conversation: comparable.
std::vector<std::string> facts_of(const ModelRequest& request, const std::vector<Pattern>& mask);

// One line of the file.
std::string recorded_line(const Dialect& dialect, std::string_view path, std::string_view request,
                          std::string_view reply);

// Not thread-safe.
class ReplayModel final : public ModelClient {
 public:
  explicit ReplayModel(std::shared_ptr<const Recording> recording)
      : recording_(std::move(recording)), used_(recording_->exchanges.size()) {}

  // The first recorded exchange with the same request that was not used yet; when all of them were,
  // the last. A miss is an error that names the first difference to the nearest recorded request.
  Result<Reply> complete(const Request& request) override;
  Result<Reply> answer(const ModelRequest& request);

 private:
  std::shared_ptr<const Recording> recording_;
  std::vector<bool> used_;
};

}  // namespace gyges::model
