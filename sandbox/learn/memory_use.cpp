#include "sandbox/learn/memory_use.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>

namespace gyges::learn {
namespace {

using recorder::Event;
using recorder::EventKind;

constexpr std::size_t most_processes = 100000;
constexpr std::size_t most_areas = 100000;  // of a process; later ones are not followed
constexpr std::uint64_t page = 4096;

}  // namespace

void MemoryUse::note(std::uint64_t before, const Process& process) {
  total_ = total_ - std::min(total_, before) + process.bytes;
  process_peak_ = std::max(process_peak_, process.bytes);
  total_peak_ = std::max(total_peak_, total_);
}

void MemoryUse::remove(Process& process, std::uint64_t start, std::uint64_t length) {
  std::uint64_t end = start + length < start ? ~std::uint64_t{0} : start + length;
  auto at = process.areas.lower_bound(start);
  if (at != process.areas.begin()) --at;
  while (at != process.areas.end() && at->first < end) {
    auto [first, size] = *at;
    std::uint64_t last = first + size;
    if (last <= start) {
      ++at;
      continue;
    }
    at = process.areas.erase(at);
    process.bytes -= std::min(process.bytes, std::min(last, end) - std::max(first, start));
    if (first < start) process.areas[first] = start - first;
    if (last > end) {
      process.areas[end] = last - end;
      return;
    }
  }
}

void MemoryUse::add(Process& process, std::uint64_t start, std::uint64_t length) {
  length = (length + page - 1) / page * page;
  if (length == 0 || start + length < start || process.areas.size() >= most_areas) return;
  remove(process, start, length);
  process.areas[start] = length;
  process.bytes += length;
}

void MemoryUse::take(const Event& event, std::string_view name) {
  const bool ends = ends_.ends(event);
  if (event.kind == EventKind::process_start) {
    auto child = static_cast<std::int32_t>(event.result);
    if ((event.args[0] & CLONE_VM) != 0 || processes_.size() >= most_processes) return;
    Process copy = processes_[event.pid];
    Process& process = processes_[child];
    std::uint64_t before = process.bytes;
    process = std::move(copy);
    return note(before, process);
  }
  if (ends || event.kind == EventKind::process_exec) {
    auto found = processes_.find(event.pid);
    if (found == processes_.end()) return;
    total_ -= std::min(total_, found->second.bytes);
    processes_.erase(found);
    return;
  }
  if (event.kind != EventKind::syscall || event.result < 0 || processes_.size() >= most_processes)
    return;
  bool shared = (event.args[3] & MAP_SHARED) != 0;
  bool writable = (event.args[2] & PROT_WRITE) != 0;
  if (name != "brk" && name != "mmap" && name != "munmap" && name != "mremap" && name != "mprotect")
    return;
  Process& process = processes_[event.pid];
  std::uint64_t before = process.bytes;
  auto result = static_cast<std::uint64_t>(event.result);
  if (name == "mmap") {
    if (writable && !shared)
      add(process, result, event.args[1]);
    else
      remove(process, result, event.args[1]);
  } else if (name == "munmap") {
    remove(process, event.args[0], event.args[1]);
  } else if (name == "mprotect") {
    if (writable) add(process, event.args[0], event.args[1]);
  } else if (name == "mremap") {
    remove(process, event.args[0], event.args[1]);
    add(process, result, event.args[2]);
  } else {
    if (process.first_break == 0) process.first_break = process.present_break = result;
    if (result > process.present_break)
      process.bytes += result - process.present_break;
    else
      process.bytes -= std::min(process.bytes, process.present_break - result);
    process.present_break = result;
  }
  note(before, process);
}

}  // namespace gyges::learn
