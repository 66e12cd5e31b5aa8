#include "analysis/store/findings_archive.h"

#include <bit>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "analysis/bundles/flows.h"
#include "base/json.h"

namespace gyges::analysis {
namespace {

// One list of members serves writing and reading: visit() below calls the archive with each.
class ArchiveWriter {
 public:
  static constexpr bool reads = false;

  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) bytes_ += static_cast<char>(0x80U | (value & 0x7FU));
    bytes_ += static_cast<char>(value);
  }
  void text(const std::string& value) {
    number(value.size());
    bytes_ += value;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ArchiveReader {
 public:
  static constexpr bool reads = true;

  explicit ArchiveReader(std::string_view bytes) : rest_(bytes) {}

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    good_ = false;
    return 0;
  }
  std::string text() {
    std::uint64_t size = length();
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  // Of something whose parts take a byte each at least.
  std::uint64_t length() {
    std::uint64_t size = number();
    if (size <= rest_.size()) return size;
    good_ = false;
    rest_ = {};
    return 0;
  }
  [[nodiscard]] bool whole() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

template <class Archive, class T>
void visit(Archive& archive, T& value);

template <class Archive, class... T>
void visit_all(Archive& archive, T&... values) {
  (visit(archive, values), ...);
}

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class K, class V>
struct IsMap<std::map<K, V>> : std::true_type {};

template <class Archive>
void members(Archive& a, Evidence& e) {
  visit_all(a, e.source, e.sequence, e.time_ns, e.pid, e.call, e.text);
}
template <class Archive>
void members(Archive& a, EvidenceList& list) {
  std::vector<Evidence> kept = list.kept();
  std::uint64_t total = list.total();
  visit_all(a, kept, total);
  if constexpr (Archive::reads) list = EvidenceList(std::move(kept), total);
}
template <class Archive>
void members(Archive& a, FileChange& c) {
  visit_all(a, c.kind, c.type, c.path, c.size, c.sha256);
}
template <class Archive>
void members(Archive& a, ToolCall& c) {
  visit_all(a, c.call, c.name, c.arguments, c.text, c.rejected, c.executed, c.requested_ns,
            c.executed_ns, c.exit_code);
}
template <class Archive>
void members(Archive& a, MonitorScore& m) {
  visit_all(a, m.score, m.flagged);
}
template <class Archive>
void members(Archive& a, CueLooks& l) {
  visit_all(a, l.label, l.deliberate, l.unexplained, l.incidental, l.refused);
}
template <class Archive>
void members(Archive& a, Transcript& t) {
  visit_all(a, t.calls, t.end_reason, t.report, t.end_ns, t.assistant_turns, t.input_tokens,
            t.output_tokens, t.cost, t.monitors);
}
template <class Archive>
void members(Archive& a, FlowSummary& f) {
  visit_all(a, f.destinations, f.names, f.refused, f.sent_bytes, f.destination_evidence,
            f.name_evidence, f.refused_evidence, f.sent_evidence);
}
template <class Archive>
void members(Archive& a, Answer& answer) {
  visit_all(a, answer.holds, answer.reason, answer.evidence);
}
template <class Archive>
void members(Archive& a, CheckResult& c) {
  visit_all(a, c.name, c.kind, c.title, c.answer);
}
template <class Archive>
void members(Archive& a, FeatureValue& f) {
  visit_all(a, f.value, f.reason, f.evidence);
}
template <class Archive>
void members(Archive& a, TimelineAct& t) {
  visit_all(a, t.evidence, t.feature);
}
template <class Archive>
void members(Archive& a, TraceFacts& t) {
  visit_all(a, t.present, t.problem, t.start_ns, t.end_ns);
}
template <class Archive>
void members(Archive& a, Findings& f) {
  visit_all(a, f.checks, f.features, f.shape, f.covert, f.success, f.scores, f.trace, f.looks,
            f.first_probe, f.first_covert_act, f.timeline, f.timeline_cut);
}
template <class Archive>
void members(Archive& a, std::shared_ptr<const FlowSummary>& flows) {
  bool present = flows != nullptr;
  visit(a, present);
  if (!present) return;
  FlowSummary copy;
  if constexpr (!Archive::reads) copy = *flows;
  visit(a, copy);
  if constexpr (Archive::reads) flows = std::make_shared<const FlowSummary>(std::move(copy));
}
// Runs of one scenario have the same checks: parsed once, and one copy for all.
std::shared_ptr<const nlohmann::json> shared_document(std::string text) {
  constexpr std::size_t most_documents = 64;
  thread_local std::map<std::string, std::shared_ptr<const nlohmann::json>> known;
  auto found = known.find(text);
  if (found == known.end()) {
    if (known.size() >= most_documents) known.clear();
    auto parsed =
        std::make_shared<const nlohmann::json>(nlohmann::json::parse(text, nullptr, false));
    found = known.emplace(std::move(text), std::move(parsed)).first;
  }
  return found->second;
}

template <class Archive>
void members(Archive& a, std::shared_ptr<const nlohmann::json>& json) {
  std::string text;
  if constexpr (!Archive::reads)
    text = json == nullptr ? std::string()
                           : json->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  visit(a, text);
  if constexpr (Archive::reads) {
    if (!text.empty()) json = shared_document(std::move(text));
  }
}
template <class Archive>
void members(Archive& a, Run& r) {
  visit_all(a, r.run_id, r.kind, r.scenario, r.family, r.agent, r.agent_sha256, r.model,
            r.condition, r.repeat, r.seed, r.duration_ms, r.exit_kind, r.limits_hit, r.policy,
            r.persona, r.host, r.task_paths, r.has_declared, r.declared, r.has_observables,
            r.observables, r.has_coverage, r.backend, r.complete, r.lost, r.syscalls,
            r.not_observable, r.warnings, r.checks, r.has_transcript, r.transcript, r.flows,
            r.has_changes, r.changes);
}

template <class Archive, class T>
void visit_number(Archive& archive, T& value) {
  if constexpr (std::is_floating_point_v<T>) {
    auto bits = std::bit_cast<std::uint64_t>(value);
    // The exponent's end first: small whole numbers have zeros at the other.
    if constexpr (Archive::reads)
      value = std::bit_cast<double>(__builtin_bswap64(archive.number()));
    else
      archive.number(__builtin_bswap64(bits));
  } else if constexpr (Archive::reads) {
    value = static_cast<T>(archive.number());
  } else {
    archive.number(static_cast<std::uint64_t>(value));
  }
}

template <class Archive, class T>
void visit_list(Archive& archive, T& list) {
  if constexpr (Archive::reads) {
    list.resize(archive.length());
  } else {
    archive.number(list.size());
  }
  for (auto& item : list) visit(archive, item);
}

template <class Archive, class T>
void visit_map(Archive& archive, T& map) {
  if constexpr (Archive::reads) {
    for (std::uint64_t count = archive.length(); count > 0; --count) {
      typename T::key_type key;
      typename T::mapped_type value;
      visit_all(archive, key, value);
      map.emplace_hint(map.end(), std::move(key), std::move(value));
    }
  } else {
    archive.number(map.size());
    for (auto& [key, value] : map) {
      std::string name = key;
      visit_all(archive, name, value);
    }
  }
}

template <class Archive, class T>
void visit(Archive& archive, T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    if constexpr (Archive::reads)
      value = archive.text();
    else
      archive.text(value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    visit_number(archive, value);
  } else if constexpr (IsVector<T>::value) {
    visit_list(archive, value);
  } else if constexpr (IsMap<T>::value) {
    visit_map(archive, value);
  } else if constexpr (IsOptional<T>::value) {
    bool present = value.has_value();
    visit(archive, present);
    if constexpr (Archive::reads) {
      if (present) visit(archive, value.emplace());
    } else if (present) {
      visit(archive, *value);
    }
  } else {
    members(archive, value);
  }
}

}  // namespace

std::string to_bytes(const Run& run, const Findings& findings) {
  ArchiveWriter writer;
  // The writer changes nothing; one list of members for both directions needs them writable.
  visit(writer, const_cast<Run&>(run));
  visit(writer, const_cast<Findings&>(findings));
  return writer.take();
}

std::optional<StoredRun> stored_run(std::string_view bytes) {
  ArchiveReader reader(bytes);
  StoredRun stored;
  visit(reader, stored.run);
  visit(reader, stored.findings);
  if (!reader.whole() || stored.findings.features.size() != all_features().size() ||
      stored.run.checks == nullptr || stored.run.checks->is_discarded())
    return std::nullopt;
  return stored;
}

}  // namespace gyges::analysis
