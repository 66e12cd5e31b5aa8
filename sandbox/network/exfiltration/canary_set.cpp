#include <algorithm>
#include <deque>

#include "base/text.h"
#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/exfiltration/spellings.h"

namespace gyges::network {

void CanarySet::add(std::uint32_t canary, const char* encoding, std::string bytes) {
  // The first name of a spelling stays: "plain" before "lower case".
  for (std::size_t i = 0; i < spellings_.size(); ++i)
    if (patterns_[i].canary == canary && spellings_[i] == bytes) return;
  patterns_.push_back({canary, encoding, bytes.size()});
  spellings_.push_back(std::move(bytes));
}

void CanarySet::build() {
  for (const std::string& spelling : spellings_)
    for (char c : spelling) {
      std::uint8_t& known = class_of_[static_cast<std::uint8_t>(c)];
      // 255 classes at most beside "none": a token may use every byte but one.
      if (known == 0) known = static_cast<std::uint8_t>(std::min<std::uint32_t>(classes_++, 255));
    }
  classes_ = std::min<std::uint32_t>(classes_, 256);
  auto add_state = [this] {
    next_.resize(next_.size() + classes_, none);
    first_hit_.push_back(none);
    return static_cast<std::uint32_t>(first_hit_.size() - 1);
  };
  add_state();
  for (std::uint32_t i = 0; i < spellings_.size(); ++i) {
    std::uint32_t state = 0;
    for (char c : spellings_[i]) {
      std::size_t edge = state * classes_ + class_of_[static_cast<std::uint8_t>(c)];
      if (next_[edge] == none) {
        std::uint32_t fresh = add_state();  // moves next_
        next_[edge] = fresh;
      }
      state = next_[edge];
    }
    hits_.push_back({i, first_hit_[state]});
    first_hit_[state] = static_cast<std::uint32_t>(hits_.size() - 1);
  }
  // Breadth first: the suffix of a state is shorter and thus finished before it.
  std::vector<std::uint32_t> suffix(first_hit_.size(), 0);
  std::deque<std::uint32_t> queue;
  for (std::uint32_t c = 0; c < classes_; ++c) {
    std::uint32_t& edge = next_[c];
    if (edge == none)
      edge = 0;
    else
      queue.push_back(edge);
  }
  while (!queue.empty()) {
    std::uint32_t state = queue.front();
    queue.pop_front();
    std::uint32_t* last = &first_hit_[state];
    while (*last != none) last = &hits_[*last].next;
    *last = first_hit_[suffix[state]];
    for (std::uint32_t c = 0; c < classes_; ++c) {
      std::uint32_t& edge = next_[state * classes_ + c];
      std::uint32_t fallback = next_[suffix[state] * classes_ + c];
      if (edge == none) {
        edge = fallback;
        continue;
      }
      suffix[edge] = fallback;
      queue.push_back(edge);
    }
  }
  spellings_.clear();
}

Result<CanarySet> CanarySet::compile(const std::vector<Canary>& canaries) {
  CanarySet set;
  if (canaries.empty()) return set;
  if (canaries.size() > most_canaries)
    return fail("read canaries", "", "there are more than 64", "plant fewer");
  for (const Canary& canary : canaries) {
    if (canary.token.size() < shortest_token || canary.token.size() > longest_token)
      return fail("read canaries", printable(canary.name), "the token has not 8 to 128 bytes",
                  "use a random token of 24 letters and digits");
    if (std::find(set.names_.begin(), set.names_.end(), canary.name) != set.names_.end())
      return fail("read canaries", printable(canary.name), "the name is there twice", "rename one");
    auto index = static_cast<std::uint32_t>(set.names_.size());
    set.names_.push_back(canary.name);
    for (auto& [encoding, bytes] : spellings_of(canary.token))
      set.add(index, encoding, std::move(bytes));
  }
  set.build();
  return set;
}

}  // namespace gyges::network
