#include "sandbox/recorder/capture/event_joiner.h"

#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <string>

#include "sandbox/recorder/capture/coverage_notes.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

// A record as the structure of its kind; the ring keeps records aligned to 8 bytes.
template <class T>
const T& as(const wire::record& record) {
  return reinterpret_cast<const T&>(record);
}

void copy_record(std::vector<std::byte>& to, const wire::record& record) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&record);
  to.assign(bytes, bytes + record.size);
}

// "c\0b\0a\0" becomes "/a/b/c".
void turn_round(std::string_view components, std::string& path) {
  path.clear();
  while (!components.empty()) {
    if (components.back() == '\0') components.remove_suffix(1);
    const std::size_t start = components.rfind('\0') + 1;  // npos + 1 is 0
    path += '/';
    path += components.substr(start);
    components = components.substr(0, start);
  }
  if (path.empty()) path = "/";
}

// The innermost name of "c\0b\0a\0".
std::string_view leaf(std::string_view components) {
  return components.substr(0, components.find('\0'));
}

constexpr std::uint32_t seccomp_signal = SIGSYS;

// The filter sent the call back with its number as the result: SIGSYS follows, or death.
bool is_rolled_back(const wire::denied_record& denied) {
  return denied.result == static_cast<std::int64_t>(denied.number);
}

}  // namespace

EventJoiner::Thread& EventJoiner::thread_of(std::int32_t tid) {
  Found& found = found_[static_cast<std::uint32_t>(tid) % found_.size()];
  if (found.tid == tid && found.thread != nullptr) return *found.thread;
  const auto [place, is_new] = threads_.try_emplace(tid);
  if (is_new) {  // its start was lost, which the counters say
    place->second.facts.tid = tid;
    place->second.facts.pid = tid;
  }
  found = {tid, &place->second};  // references stay valid until the element is erased
  return place->second;
}

void EventJoiner::forget(std::int32_t tid) {
  threads_.erase(tid);
  found_[static_cast<std::uint32_t>(tid) % found_.size()] = {};
}

void EventJoiner::begin_captures() {
  captures_.clear();
  bases_.clear();
  paths_used_ = 0;
}

std::string& EventJoiner::new_path() {
  if (paths_used_ == paths_.size()) paths_.emplace_back();
  return paths_[paths_used_++];
}

void EventJoiner::add_captures(const std::byte* from, const std::byte* to, bool arguments_only) {
  while (to - from >= static_cast<std::ptrdiff_t>(sizeof(wire::capture_head))) {
    wire::capture_head head;
    std::memcpy(&head, from, sizeof(head));
    from += sizeof(head);
    const std::size_t length =
        std::min<std::size_t>(head.length, static_cast<std::size_t>(to - from));
    Capture capture;
    capture.argument = head.argument;
    capture.kind = static_cast<CaptureKind>(head.kind);
    capture.provenance = static_cast<Provenance>(head.provenance);
    capture.truncated = (head.flags & wire::capture_truncated) != 0;
    capture.full_length = head.full_length;
    capture.bytes = {reinterpret_cast<const char*>(from), length};
    from +=
        std::min<std::size_t>((length + 3) & ~std::size_t{3}, static_cast<std::size_t>(to - from));
    const bool of_image =
        capture.argument == result_argument || (head.flags & wire::capture_directory) != 0;
    if (arguments_only && of_image) continue;
    if ((head.flags & wire::capture_components) != 0) {
      add_components(capture, head.flags);
      continue;
    }
    captures_.push_back(capture);
  }
}

// What a walk up the directory tree found: the full name of the identity before it, the directory
// of a relative path argument, or the new working directory.
void EventJoiner::add_components(Capture capture, unsigned flags) {
  const bool complete = (flags & wire::capture_complete) != 0;
  const std::string_view components = capture.bytes;
  std::string& path = new_path();
  if (complete) turn_round(components, path);
  if ((flags & wire::capture_base) != 0) {
    if (complete) bases_.push_back({capture.argument, path});
    return;
  }
  Capture* const last = captures_.empty() ? nullptr : &captures_.back();
  if (last != nullptr && last->kind == CaptureKind::file_identity &&
      last->argument == capture.argument) {
    std::string& named = new_path();
    named.assign(last->bytes);
    named += complete ? std::string_view(path) : leaf(components);
    last->bytes = named;
    last->full_length = static_cast<std::uint32_t>(named.size());
  } else if (complete) {
    capture.bytes = path;
    capture.full_length = static_cast<std::uint32_t>(path.size());
    captures_.push_back(capture);
  }
}

// Makes the absolute form of the relative paths, now that all captures of the call are there.
std::span<const Capture> EventJoiner::finished_captures() {
  for (const auto& [argument, directory] : bases_) {
    for (const Capture& given : captures_) {
      if (given.argument != argument || given.kind != CaptureKind::path || given.truncated ||
          given.provenance == Provenance::missing)
        continue;
      std::string& path = new_path();
      path = join_path(directory, given.bytes);
      Capture absolute = given;  // no better than the path that the program passed
      absolute.kind = CaptureKind::absolute_path;
      absolute.bytes = path;
      absolute.full_length = static_cast<std::uint32_t>(path.size());
      captures_.push_back(absolute);
      break;
    }
  }
  return captures_;
}

// Beside what was asked for: see PathCheck.
void EventJoiner::add_changed_elsewhere(Event& event) {
  const auto base_of = [&](std::uint8_t argument) -> std::string_view {
    for (const auto& [of, directory] : bases_)
      if (of == argument) return directory;
    return {};
  };
  for (PathCheck::Elsewhere& elsewhere : path_check_.changed_elsewhere(event, base_of)) {
    std::string& path = new_path();
    path = std::move(elsewhere.path);
    captures_.push_back(looked_up_capture(elsewhere.argument, path));
    event.captures = captures_;
  }
}

void EventJoiner::add_captures(const wire::record& record, std::size_t fixed) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&record);
  if (record.size > fixed) add_captures(bytes + fixed, bytes + record.size, false);
}

// The record of an executed image has the call's arguments as execve numbers them, and a path
// against a descriptor in the kernel's way: "/dev/fd/7", "/dev/fd/7/name". What was read at entry
// is not doubled.
void EventJoiner::place_image_captures(const Event& call, std::size_t known) {
  const SyscallSpec* const spec = find_syscall(call.abi, call.number);
  const bool by_descriptor = spec != nullptr && spec->name == "execveat";
  std::size_t kept = known;
  for (std::size_t i = known; i < captures_.size(); ++i) {
    Capture capture = captures_[i];
    if (by_descriptor) {
      ++capture.argument;
      const std::string prefix = "/dev/fd/" + std::to_string(static_cast<int>(call.args[0]));
      const bool empty = capture.bytes == prefix && (call.args[4] & AT_EMPTY_PATH) != 0;
      if (capture.kind == CaptureKind::path && (empty || capture.bytes.starts_with(prefix + "/"))) {
        capture.bytes.remove_prefix(prefix.size() + (empty ? 0 : 1));
        capture.full_length = static_cast<std::uint32_t>(capture.bytes.size());
      }
    }
    if (capture.argument < call.args.size() && call.args[capture.argument] == 0) continue;
    const auto end = captures_.begin() + static_cast<std::ptrdiff_t>(known);
    if (std::none_of(captures_.begin(), end, [&](const Capture& c) {
          return c.argument == capture.argument && c.kind == capture.kind;
        }))
      captures_[kept++] = capture;
  }
  captures_.resize(kept);
}

Status EventJoiner::join(Thread& thread, const wire::exit_record* exit, Verdict verdict) {
  const auto& enter = *reinterpret_cast<const wire::enter_record*>(thread.entry.data());
  Event event;
  thread.facts.put_into(event);
  event.abi = static_cast<Abi>(enter.head.abi);
  event.number = static_cast<std::uint32_t>(enter.number);
  event.time_ns = enter.head.time;
  event.verdict = verdict;
  std::copy(std::begin(enter.args), std::end(enter.args), event.args.begin());
  begin_captures();
  add_captures(enter.head, sizeof(enter));
  if (exit != nullptr) {
    event.result = exit->result;
    event.duration_ns = exit->head.time - enter.head.time;
    add_captures(exit->head, sizeof(*exit));
  } else {
    event.has_exit = false;
  }
  if (!thread.image.empty()) {
    std::erase_if(captures_, [](const Capture& c) { return c.provenance == Provenance::missing; });
    const std::size_t known = captures_.size();
    add_captures(thread.image.data() + sizeof(wire::exec_record),
                 thread.image.data() + thread.image.size(), true);
    place_image_captures(event, known);
    thread.image.clear();
  }
  add_late_captures(thread);
  event.captures = finished_captures();
  add_changed_elsewhere(event);
  uses_io_uring_ = uses_io_uring_ || used_io_uring(event);
  Status status = sink_.append(event);
  if (const int elsewhere = path_check_.disagreement(event); status && elsewhere >= 0)
    status = sink_.append(disagreement_event(event, elsewhere));
  thread.entry.clear();
  thread.late.clear();
  return status;
}

// Nothing in it was read at entry, so no path was asked for that could be another than the one
// used.
Status EventJoiner::take_call(const wire::call_record& record) {
  Thread& thread = thread_of(static_cast<std::int32_t>(record.head.tid));
  if (!thread.entry.empty()) GYGES_CHECK(join(thread, nullptr, Verdict::allowed));
  Event event;
  thread.facts.put_into(event);
  event.abi = static_cast<Abi>(record.head.abi);
  event.number = record.number;
  event.time_ns = record.entered;
  event.duration_ns = record.head.time - record.entered;
  event.result = record.result;
  const std::size_t bytes = std::min<std::size_t>(
      record.head.size - offsetof(wire::call_record, args), sizeof(record.args));
  std::memcpy(event.args.data(), record.args, bytes);
  begin_captures();
  add_captures(record.head, sizeof(record));
  event.captures = finished_captures();
  return sink_.append(event);
}

Status EventJoiner::hand_over_denied(Thread& thread, const wire::denied_record& denied,
                                     Verdict verdict) {
  Event event;
  thread.facts.put_into(event);
  event.abi = static_cast<Abi>(denied.head.abi);
  event.verdict = verdict;
  event.has_enter = false;
  event.number = static_cast<std::uint32_t>(denied.number);
  event.time_ns = denied.head.time;
  std::copy(std::begin(denied.args), std::end(denied.args), event.args.begin());
  event.result = denied.result;
  if (verdict == Verdict::killed) {
    event.has_exit = false;
    event.result = 0;
  }
  begin_captures();
  add_captures(denied.head, sizeof(denied));
  add_late_captures(thread);
  event.captures = finished_captures();
  Status status = sink_.append(event);
  thread.late.clear();
  return status;
}

Status EventJoiner::settle_denied(Thread& thread, bool killed) {
  if (thread.denied.empty()) return ok();
  const std::vector<std::byte> held = std::move(thread.denied);
  thread.denied.clear();
  const auto& denied = *reinterpret_cast<const wire::denied_record*>(held.data());
  if ((denied.head.flags & wire::ended_in_call) != 0)
    return hand_over_denied(thread, denied, Verdict::killed);
  if (is_rolled_back(denied))
    return hand_over_denied(thread, denied, killed ? Verdict::killed : Verdict::refused);
  // -512 to -516 come from no filter: a signal ended the wait for a supervisor's answer.
  const bool interrupted = denied.result <= -512 && denied.result >= -516;
  const bool is_error = denied.result < 0 && denied.result >= -4095 && !interrupted;
  return hand_over_denied(thread, denied, is_error ? Verdict::refused : Verdict::emulated);
}

Status EventJoiner::settle_exit(Thread& thread) {
  if (thread.exit.empty()) return ok();
  const std::vector<std::byte> held = std::move(thread.exit);
  thread.exit.clear();
  return join(thread, reinterpret_cast<const wire::exit_record*>(held.data()), Verdict::allowed);
}

// Read where a page could be faulted in, after the call returned.
Status EventJoiner::take_late(const wire::record& record) {
  Thread& thread = thread_of(static_cast<std::int32_t>(record.tid));
  if (thread.denied.empty() && thread.exit.empty()) return ok();
  copy_record(thread.late, record);
  GYGES_CHECK(settle_exit(thread));
  if (thread.denied.empty() ||
      is_rolled_back(*reinterpret_cast<const wire::denied_record*>(thread.denied.data())))
    return ok();
  return settle_denied(thread, false);
}

// They take the place of what was read of the same arguments before.
void EventJoiner::add_late_captures(Thread& thread) {
  if (thread.late.empty()) return;
  const std::size_t known = captures_.size();
  add_captures(thread.late.data() + sizeof(wire::record), thread.late.data() + thread.late.size(),
               false);
  const std::vector<Capture> late(captures_.begin() + static_cast<std::ptrdiff_t>(known),
                                  captures_.end());
  captures_.resize(known);
  std::erase_if(captures_, [&](const Capture& capture) {
    return (capture.provenance == Provenance::missing ||
            capture.provenance == Provenance::exit_retry) &&
           std::any_of(late.begin(), late.end(),
                       [&](const Capture& read) { return read.argument == capture.argument; });
  });
  captures_.insert(captures_.end(), late.begin(), late.end());
}

Status EventJoiner::start(const wire::start_record& record) {
  const auto tid = static_cast<std::int32_t>(record.head.tid);
  Thread& child = threads_[static_cast<std::int32_t>(record.tid)];
  child = Thread{};
  child.facts.tid = static_cast<std::int32_t>(record.tid);
  child.facts.pid = static_cast<std::int32_t>(record.pid);
  child.facts.inside_tid = static_cast<std::int32_t>(record.inside_tid);
  child.facts.inside_pid = static_cast<std::int32_t>(record.inside_pid);
  child.facts.origin_call = record.origin_call;
  child.facts.active_call = record.active_call;
  Event event;
  event.kind = EventKind::process_start;
  thread_of(tid).facts.put_into(event);
  event.time_ns = record.head.time;
  event.args[0] = record.flags;
  event.result = record.tid;
  return sink_.append(event);
}

Status EventJoiner::exec(const wire::exec_record& record) {
  const auto tid = static_cast<std::int32_t>(record.head.tid);
  const auto old_tid = static_cast<std::int32_t>(record.old_tid);
  if (tid != old_tid) {  // a thread that was not the leader took over its number
    Thread moved = std::move(thread_of(old_tid));
    moved.facts.tid = tid;
    moved.facts.inside_tid = moved.facts.inside_pid;
    forget(old_tid);
    threads_[tid] = std::move(moved);
  }
  Thread& thread = thread_of(tid);
  copy_record(thread.image, record.head);
  Event event;
  event.kind = EventKind::process_exec;
  thread.facts.put_into(event);
  event.time_ns = record.head.time;
  begin_captures();
  add_captures(record.head, sizeof(record));
  std::erase_if(captures_, [](const Capture& c) {  // those are of the call, not of the image
    return c.argument != result_argument && c.kind != CaptureKind::absolute_path;
  });
  event.captures = finished_captures();
  return sink_.append(event);
}

Status EventJoiner::end(const wire::end_record& record) {
  const auto tid = static_cast<std::int32_t>(record.head.tid);
  Thread& thread = thread_of(tid);
  GYGES_CHECK(settle_exit(thread));
  GYGES_CHECK(settle_denied(thread, (record.status & 0x7f) == seccomp_signal));
  if (!thread.entry.empty()) GYGES_CHECK(join(thread, nullptr, Verdict::allowed));
  Event event;
  event.kind = EventKind::process_exit;
  thread.facts.put_into(event);
  event.time_ns = record.head.time;
  event.result = record.status;
  forget(tid);
  return sink_.append(event);
}

Status EventJoiner::take(const wire::record& record) {
  const auto tid = static_cast<std::int32_t>(record.tid);
  if (record.kind != wire::record_end && record.kind != wire::record_late) {
    Thread& thread = thread_of(tid);
    if (!thread.exit.empty()) GYGES_CHECK(settle_exit(thread));
    if (!thread.denied.empty() && record.kind != wire::record_signal)
      GYGES_CHECK(settle_denied(thread, false));
  }
  switch (record.kind) {
    case wire::record_enter: {
      ++enters_;
      Thread& thread = thread_of(tid);
      // The exit can only be absent if it was lost; the entry is kept as it is.
      if (!thread.entry.empty()) GYGES_CHECK(join(thread, nullptr, Verdict::allowed));
      copy_record(thread.entry, record);
      return ok();
    }
    case wire::record_exit: {
      ++exits_;
      Thread& thread = thread_of(tid);
      if (thread.entry.empty()) return ok();  // its entry was lost, which the counters say
      if ((record.flags & wire::late_follows) != 0) {
        copy_record(thread.exit, record);
        return ok();
      }
      return join(thread, &as<wire::exit_record>(record), Verdict::allowed);
    }
    case wire::record_call:
      ++enters_;
      ++exits_;
      return take_call(as<wire::call_record>(record));
    case wire::record_denied: {
      ++exits_;
      const auto& denied = as<wire::denied_record>(record);
      Thread& thread = thread_of(tid);
      copy_record(thread.denied, record);
      if (is_rolled_back(denied) || (record.flags & wire::late_follows) != 0) return ok();
      return settle_denied(thread, false);
    }
    case wire::record_start:
      return start(as<wire::start_record>(record));
    case wire::record_exec:
      return exec(as<wire::exec_record>(record));
    case wire::record_end:
      return end(as<wire::end_record>(record));
    case wire::record_signal: {
      if (!record_signals_) return ok();
      const auto& delivered = as<wire::signal_record>(record);
      Event event;
      event.kind = EventKind::signal;
      thread_of(tid).facts.put_into(event);
      event.time_ns = record.time;
      event.args[0] = static_cast<std::uint64_t>(delivered.signal);
      event.args[1] = static_cast<std::uint64_t>(static_cast<std::int64_t>(delivered.code));
      return sink_.append(event);
    }
    case wire::record_wait: {
      const auto& wait = as<wire::wait_record>(record);
      Event event;
      event.kind = EventKind::recorder_wait;
      thread_of(tid).facts.put_into(event);
      event.time_ns = wait.began;
      event.duration_ns = wait.duration;
      return sink_.append(event);
    }
    case wire::record_uring_submit:
    case wire::record_uring_complete:
      return uring(as<wire::uring_record>(record));
    case wire::record_content:
      return content(as<wire::content_record>(record));
    case wire::record_late:
      return take_late(record);
    default:
      return fail("read ring", "record", "unknown kind " + std::to_string(record.kind));
  }
}

Status EventJoiner::finish() {
  for (auto& [tid, thread] : threads_) {
    GYGES_CHECK(settle_exit(thread));
    GYGES_CHECK(settle_denied(thread, false));
    if (!thread.entry.empty()) GYGES_CHECK(join(thread, nullptr, Verdict::allowed));
  }
  for (const auto& [request, event] : operations_) GYGES_CHECK(sink_.append(event));
  operations_.clear();
  threads_.clear();
  found_ = {};
  return ok();
}

}  // namespace gyges::recorder
