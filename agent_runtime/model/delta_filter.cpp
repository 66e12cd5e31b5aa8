#include "agent_runtime/model/delta_filter.h"

#include "agent_runtime/model/key_forms.h"

namespace gyges::model {

void DeltaFilter::clean(std::string& text) const {
  if (!text.empty()) text = without_forms(std::move(text), forms_);
}

std::vector<Delta> DeltaFilter::take(std::vector<Delta> deltas) {
  if (forms_.empty()) return deltas;
  std::vector<Delta> ready;
  for (Delta& delta : deltas) {
    const std::pair block{delta.is_call, delta.block};
    Part& part = delta.part;
    ToolCall& call = delta.call;
    for (auto* text :
         {&delta.id, &delta.model, &delta.stop_sequence, &delta.error.message, &part.text,
          &part.data, &part.url, &part.signature, &part.id, &part.extra, &call.id, &call.name,
          &call.arguments, &call.fault, &call.space, &call.extra})
      clean(*text);
    if (delta.kind == Delta::Kind::text) {
      delta.text = open_.try_emplace(block, forms_).first->second.take(delta.text);
      if (delta.text.empty()) continue;
    } else if (delta.kind == Delta::Kind::close) {
      if (auto found = open_.find(block); found != open_.end()) {
        Delta rest;
        rest.kind = Delta::Kind::text;
        rest.block = delta.block;
        rest.is_call = delta.is_call;
        rest.text = found->second.finish();
        open_.erase(found);
        if (!rest.text.empty()) ready.push_back(std::move(rest));
      }
    }
    ready.push_back(std::move(delta));
  }
  return ready;
}

}  // namespace gyges::model
