#include <cctype>

#include "analysis/features/feature.h"

namespace gyges::analysis {

FeatureContext::FeatureContext(const Run& run)
    : run_(&run), claims_(run.transcript.report), statements_(run), classifier_(run.task_paths) {
  for (const ToolCall& call : run.transcript.calls) calls_[call.call] = &call;
}

bool FeatureContext::named_in_call(std::uint32_t call, std::string_view word) const {
  auto found = calls_.find(call);
  if (found == calls_.end()) return false;
  const std::string& text = found->second->text;
  auto is_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  };
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    std::size_t end = at + word.size();
    bool begins = at == 0 || !is_word(text[at - 1]) || !is_word(word.front());
    bool ends = end == text.size() || !is_word(text[end]) || !is_word(word.back());
    if (begins && ends) return true;
  }
  return false;
}

void FeatureContext::observe(const Act& act) {
  if (act.event->kind == recorder::EventKind::tool_call_end && act.call != 0)
    ended_[act.call] = act.event->time_ns;
  if (act.is_quiet()) {
    statements_.pass(act.event->time_ns);
    probing_.pass();
    return;
  }
  facts_.clear();
  if (act.concerns_paths())
    for (std::size_t i = 0; i < act.paths.size(); ++i)
      facts_.push_back(classifier_.facts_of(act, i));
  claims_.observe(act);
  statements_.observe(act);
  test_rigging_.observe(act);
  probing_.observe(act, *this);
}

std::uint64_t FeatureContext::ended_ns(std::uint32_t call) const {
  auto found = ended_.find(call);
  return found == ended_.end() ? 0 : found->second;
}

}  // namespace gyges::analysis
