#include "sandbox/recorder/format/block_summary.h"

#include <algorithm>

namespace gyges::recorder {
namespace {

constexpr std::uint8_t flag_failed = 1;
constexpr std::uint8_t flag_refused = 2;
constexpr std::uint8_t flag_any_syscall = 4;
constexpr std::uint8_t flag_any_pid = 8;
constexpr std::uint8_t flag_any_tool_call = 16;
constexpr std::uint8_t known_flags = 31;

void put_varint(std::string& text, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) text += static_cast<char>(value | 0x80U);
  text += static_cast<char>(value);
}

bool take_varint(std::string_view& text, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !text.empty(); shift += 7) {
    auto byte = static_cast<std::uint8_t>(text.front());
    text.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

void sort_uniquely(std::vector<std::uint64_t>& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

void put_list(std::string& text, const std::vector<std::uint64_t>& list) {
  put_varint(text, list.size());
  std::uint64_t last = 0;
  for (std::uint64_t value : list) {
    put_varint(text, value - last);
    last = value;
  }
}

bool take_list(std::string_view& text, std::vector<std::uint64_t>& list) {
  std::uint64_t size = 0;
  if (!take_varint(text, size) || size > BlockSummary::max_entries) return false;
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < size; ++i) {
    std::uint64_t step = 0;
    if (!take_varint(text, step) || (i > 0 && step == 0) || last + step < last) return false;
    last += step;
    list.push_back(last);
  }
  return true;
}

bool lists(const std::optional<std::vector<std::uint64_t>>& list, std::uint64_t value) {
  return !list || std::binary_search(list->begin(), list->end(), value);
}

std::uint64_t unsigned_of(std::int32_t value) {
  return static_cast<std::uint32_t>(value);
}

}  // namespace

bool BlockQuery::takes_everything() const {
  return !since_ns && !until_ns && pids.empty() && syscalls.empty() && !tool_call && !failed &&
         !refused;
}

bool BlockSummary::may_hold(const BlockQuery& query, std::uint64_t first_ns,
                            std::uint64_t last_ns) const {
  if (query.since_ns && last_ns < *query.since_ns) return false;
  if (query.until_ns && first_ns > *query.until_ns) return false;
  if (query.failed && !any_failed) return false;
  if (query.refused && !any_refused) return false;
  if (query.tool_call && !lists(tool_calls, *query.tool_call)) return false;
  auto any = [](const auto& wanted, const auto& is_there) {
    return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), is_there);
  };
  return any(query.pids, [&](std::int32_t pid) { return lists(pids, unsigned_of(pid)); }) &&
         any(query.syscalls, [&](std::uint64_t key) { return lists(syscalls, key); });
}

void SummaryBuilder::clear() {
  failed_ = refused_ = false;
  syscalls_.clear();
  pids_.clear();
  tool_calls_.clear();
}

void SummaryBuilder::add_shape(const Event& event) {
  refused_ = refused_ || event.verdict == Verdict::refused || event.verdict == Verdict::killed;
  if (event.kind == EventKind::syscall) syscalls_.push_back(syscall_key(event.abi, event.number));
}

void SummaryBuilder::add_context(const Event& event) {
  pids_.push_back(unsigned_of(event.pid));
  if (event.inside_pid != 0) pids_.push_back(unsigned_of(event.inside_pid));
  for (std::uint32_t call : {event.origin_call, event.active_call}) tool_calls_.push_back(call);
}

std::string SummaryBuilder::encode() {
  std::uint8_t flags = 0;
  if (failed_) flags |= flag_failed;
  if (refused_) flags |= flag_refused;
  struct Part {
    std::vector<std::uint64_t>* list;
    std::uint8_t any;
  };
  std::string text(1, '\0');
  for (const Part& part : {Part{&syscalls_, flag_any_syscall}, Part{&pids_, flag_any_pid},
                           Part{&tool_calls_, flag_any_tool_call}}) {
    sort_uniquely(*part.list);
    if (part.list->size() > BlockSummary::max_entries)
      flags |= part.any;
    else
      put_list(text, *part.list);
  }
  text[0] = static_cast<char>(flags);
  return text;
}

bool decode_summary(std::string_view bytes, BlockSummary& summary) {
  if (bytes.empty()) return false;
  auto flags = static_cast<std::uint8_t>(bytes.front());
  bytes.remove_prefix(1);
  if (flags > known_flags) return false;
  summary = {};
  summary.any_failed = (flags & flag_failed) != 0;
  summary.any_refused = (flags & flag_refused) != 0;
  if ((flags & flag_any_syscall) == 0 && !take_list(bytes, summary.syscalls.emplace()))
    return false;
  if ((flags & flag_any_pid) == 0 && !take_list(bytes, summary.pids.emplace())) return false;
  if ((flags & flag_any_tool_call) == 0 && !take_list(bytes, summary.tool_calls.emplace()))
    return false;
  return bytes.empty();
}

}  // namespace gyges::recorder
