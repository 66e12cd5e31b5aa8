#include "agent_runtime/model/key_watch.h"

#include <algorithm>

#include "agent_runtime/model/pass_through.h"

namespace gyges::model {
namespace {

// Of a key that may be handed on before it is known for one: less than any word or two.
constexpr std::size_t least_beginning = 4;

}  // namespace

KeyWatch::Seen KeyWatch::take(const std::vector<Delta>& deltas) {
  if (forms_.empty()) return Seen::nothing;
  for (const Delta& delta : deltas) {
    const std::pair block{delta.is_call, delta.block};
    if (delta.kind == Delta::Kind::close) ends_.erase(block);
    if (delta.kind != Delta::Kind::text || delta.text.empty()) continue;
    std::string& end = ends_[block];
    end += delta.text;
    if (std::any_of(forms_.begin(), forms_.end(),
                    [&](const std::string& form) { return end.find(form) != std::string::npos; }))
      return Seen::key;
    end.erase(0, end.size() - begun_at_end(end, forms_));
  }
  return std::any_of(ends_.begin(), ends_.end(),
                     [](const auto& one) { return one.second.size() >= least_beginning; })
             ? Seen::beginning
             : Seen::nothing;
}

}  // namespace gyges::model
