#include "agent_runtime/model/openai_chat.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "agent_runtime/model/http_client.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::chrono::milliseconds longest_pause{30'000};

bool worth_repeating(long status) {
  return status == 429 || (status >= 500 && status <= 599);
}

// What the endpoint says about its refusal, short and harmless to print.
std::string refusal(const HttpReply& reply) {
  std::string words;
  auto value = nlohmann::json::parse(reply.body, nullptr, false);
  if (value.is_object() && value.contains("error")) {
    const auto& error = value.at("error");
    if (error.is_string()) words = error.get<std::string>();
    if (error.is_object() && error.contains("message") && error.at("message").is_string())
      words = error.at("message").get<std::string>();
  }
  if (words.empty()) words = reply.body;
  words = printable(words.substr(0, 300));
  return "status " + std::to_string(reply.status) + (words.empty() ? "" : ": " + words);
}

std::string cure_of(long status) {
  if (status == 401 || status == 403) return "check the key named by api_key_env or api_key_file";
  if (status == 404) return "check base_url and the name of the model";
  if (status == 429) return "wait, or lower the number of parallel runs";
  if (status >= 300 && status < 400)
    return "give the final address as base_url; redirects are not followed";
  return "see the endpoint's message";
}

}  // namespace

std::string OpenAiChat::without_key(std::string text) const {
  if (config_.key.empty()) return text;
  for (auto at = text.find(config_.key); at != std::string::npos; at = text.find(config_.key, at))
    text.replace(at, config_.key.size(), "[key]");
  return text;
}

Result<Reply> OpenAiChat::complete(const Request& request) {
  HttpPost post;
  post.url = config_.base_url;
  while (post.url.ends_with('/')) post.url.pop_back();
  post.url += "/chat/completions";
  post.headers = {"Content-Type: application/json", "Accept: application/json", "Expect:"};
  if (!config_.key.empty()) post.headers.push_back("Authorization: Bearer " + config_.key);
  post.body = chat_request_body(config_, request);
  post.max_reply_bytes = config_.max_reply_bytes;
  milliseconds pause = config_.first_pause;
  for (std::uint32_t attempt = 0;; ++attempt) {
    auto left = std::chrono::duration_cast<milliseconds>(request.deadline - Clock::now());
    if (left <= milliseconds(0))
      return fail("call model", printable(post.url), "the time of the episode is over");
    post.timeout = std::min(config_.timeout, left);
    HttpFault fault = HttpFault::none;
    auto reply = http_post(post, fault);
    std::optional<Error> failure;
    milliseconds wait = pause;
    if (!reply) {
      if (fault != HttpFault::unreachable) return tl::unexpected<Error>(reply.error());
      failure = reply.error();
    } else if (reply->status >= 200 && reply->status < 300) {
      auto parsed = parse_chat_reply(reply->body, "reply of " + printable(post.url));
      if (!parsed) parsed.error().reason = without_key(parsed.error().reason);
      return parsed;
    } else {
      failure = fail("call model", printable(post.url), without_key(refusal(*reply)),
                     cure_of(reply->status))
                    .value();
      if (!worth_repeating(reply->status)) return tl::unexpected<Error>(*failure);
      if (reply->retry_after_seconds)
        wait = milliseconds(
            static_cast<std::int64_t>(std::min(*reply->retry_after_seconds, 86400.0) * 1000));
    }
    if (attempt >= config_.retries || Clock::now() + wait >= request.deadline) {
      failure->reason += " (after " + std::to_string(attempt + 1) + " attempts)";
      return tl::unexpected<Error>(*failure);
    }
    std::this_thread::sleep_for(wait);
    pause = std::min(pause * 2, longest_pause);
  }
}

}  // namespace gyges::model
