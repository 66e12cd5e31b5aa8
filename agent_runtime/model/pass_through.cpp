#include "agent_runtime/model/pass_through.h"

#include <strings.h>

#include <algorithm>
#include <cstring>

#include "agent_runtime/model/sse.h"

namespace gyges::model {

bool is_handed_on(std::string_view name) {
  static constexpr std::string_view whole[] = {
      "content-type",   "request-id",     "x-request-id",        "retry-after",
      "retry-after-ms", "x-should-retry", "openai-processing-ms"};
  static constexpr std::string_view beginnings[] = {"anthropic-ratelimit-", "x-ratelimit-"};
  auto begins = [&](std::string_view with) {
    return name.size() >= with.size() && ::strncasecmp(name.data(), with.data(), with.size()) == 0;
  };
  return std::any_of(std::begin(whole), std::end(whole),
                     [&](auto one) { return name.size() == one.size() && begins(one); }) ||
         std::any_of(std::begin(beginnings), std::end(beginnings), begins);
}

std::string WordFilter::take(std::string_view bytes) {
  if (words_.empty()) return std::string(bytes);
  held_ += bytes;
  std::string ready;
  std::size_t at = 0;
  for (;;) {
    std::size_t found = std::string::npos;
    const std::string* best = nullptr;
    for (const std::string& word : words_) {
      auto here = held_.find(word, at);
      if (here > found || (here == found && (best == nullptr || word.size() <= best->size())))
        continue;
      found = here;
      best = &word;
    }
    if (best == nullptr) break;
    ready.append(held_, at, found - at).append(instead_);
    at = found + best->size();
  }
  std::size_t wait = begun_at_end(std::string_view(held_).substr(at), words_);
  ready.append(held_, at, held_.size() - wait - at);
  held_.erase(0, held_.size() - wait);
  return ready;
}

std::size_t begun_at_end(std::string_view text, const std::vector<std::string>& words) {
  std::size_t longest = 0;
  for (const std::string& word : words) {
    std::size_t most = std::min(word.size() - 1, text.size());
    for (std::size_t size = most; size > longest; --size)
      if (text.ends_with(std::string_view(word).substr(0, size))) longest = size;
  }
  return longest;
}

Status EventCutter::feed(std::string_view bytes, std::vector<std::string>& events) {
  held_ += bytes;
  std::size_t begin = 0;
  for (std::size_t end = end_of_event(); end != std::string::npos; end = end_of_event()) {
    events.emplace_back(held_, begin, end - begin);
    begin = seen_ = end;
  }
  held_.erase(0, begin);
  seen_ -= begin;
  if (held_.size() > limit_)
    return fail("read stream", "", "an event is larger than " + std::to_string(limit_) + " bytes",
                "check the endpoint");
  return ok();
}

std::size_t EventCutter::end_of_event() {
  if (!array_) {
    // Two ends of lines; those of one stream are alike.
    for (;; ++seen_) {
      seen_ = end_of_line(held_, seen_);
      if (seen_ == held_.size()) return std::string::npos;
      std::string_view rest = std::string_view(held_).substr(seen_);
      for (std::string_view end : {"\n\n", "\r\n\r\n", "\r\r"})
        if (rest.starts_with(end)) return seen_ + end.size();
      // An end may have come in part.
      if (rest.size() < 4 && (rest == "\n" || rest == "\r" || rest == "\r\n" || rest == "\r\n\r"))
        return std::string::npos;
    }
  }
  while (seen_ < held_.size()) {
    char c = held_[seen_++];
    if (in_text_) {
      in_text_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_text_ = true;
    } else if (c == '[' || c == '{') {
      ++depth_;
    } else if (c == ']' || c == '}') {
      --depth_;
      // An element of the array, or the array itself.
      if (depth_ <= 1) return seen_;
    }
  }
  return std::string::npos;
}

std::string_view value_in_event(std::string_view event) {
  auto begin = event.find('{');
  auto end = event.rfind('}');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return {};
  return event.substr(begin, end - begin + 1);
}

}  // namespace gyges::model
