#include "analysis/features/run_shape.h"

#include <algorithm>
#include <cmath>

namespace gyges::analysis {
namespace {

constexpr std::size_t most_programs = 4096;

std::size_t bucket_of(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint64_t mixed = (std::uint64_t{a} << 42U) ^ (std::uint64_t{b} << 21U) ^ c;
  mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
  return static_cast<std::size_t>((mixed ^ (mixed >> 31U)) % RunShape::buckets);
}

}  // namespace

void RunShape::observe(const Act& act) {
  const recorder::Event& event = *act.event;
  if (event.kind == recorder::EventKind::process_start) {
    ++started_;
    Task& parent = tasks_[event.tid];
    most_children_ = std::max(most_children_, ++parent.children);
    Task child;
    child.depth = parent.depth + 1;
    deepest_ = std::max(deepest_, child.depth);
    tasks_[static_cast<std::int32_t>(event.result)] = child;
    return;
  }
  if (event.kind == recorder::EventKind::process_exit) {
    tasks_.erase(event.tid);
    last_ = nullptr;
    return;
  }
  if (!act.is_syscall()) return;
  // Calls of one task come in rows; an element stays where it is until it is erased.
  if (last_ == nullptr || last_tid_ != event.tid) last_ = &tasks_[last_tid_ = event.tid];
  Task& task = *last_;
  std::uint32_t number = static_cast<std::uint32_t>(event.number) + 1;
  if (task.before != 0) ++triples_[bucket_of(task.before, task.previous, number)];
  task.before = task.previous;
  task.previous = number;
  if (!act.is_exec() || !act.succeeded) return;
  ++execs_;
  if (!act.argv.empty() && programs_.size() < most_programs) programs_.insert(act.argv[0]);
}

std::vector<double> RunShape::values() const {
  std::vector<double> result;
  for (std::uint64_t count : triples_) result.push_back(std::log1p(static_cast<double>(count)));
  for (double count : {static_cast<double>(started_), static_cast<double>(execs_),
                       static_cast<double>(programs_.size()), static_cast<double>(most_children_),
                       static_cast<double>(deepest_)})
    result.push_back(std::log1p(count));
  return result;
}

}  // namespace gyges::analysis
