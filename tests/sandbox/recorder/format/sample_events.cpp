#include "sample_events.h"

#include <cstring>

#include "sandbox/recorder/format/block_tables.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder::testing {

void EventList::capture(Capture capture, std::string bytes) {
  if (owner_.empty() || owner_.back() != events_.size() - 1) {
    owner_.push_back(events_.size() - 1);
    captures_.emplace_back();
  }
  capture.bytes = bytes_.emplace_back(std::move(bytes));
  captures_.back().push_back(capture);
}

std::deque<Event>& EventList::finished() {
  for (std::size_t i = 0; i < owner_.size(); ++i) events_[owner_[i]].captures = captures_[i];
  return events_;
}

void add_random_event(EventList& list, std::mt19937_64& random) {
  auto below = [&](std::uint64_t n) { return random() % n; };
  auto wild = [&]() -> std::uint64_t { return random() >> below(64); };
  Event event;
  event.kind = static_cast<EventKind>(1 + below(11));
  event.abi = static_cast<Abi>(below(3));
  event.verdict = static_cast<Verdict>(below(4));
  event.has_enter = below(8) != 0;
  event.has_exit = below(8) != 0;
  event.number = static_cast<std::uint32_t>(below(20) == 0 ? wild() : below(480));
  event.time_ns = wild();
  event.duration_ns = wild();
  event.pid = static_cast<std::int32_t>(wild());
  event.tid = static_cast<std::int32_t>(below(5));
  event.inside_pid = static_cast<std::int32_t>(below(3));
  event.inside_tid = -1;
  event.origin_call = static_cast<std::uint32_t>(below(3));
  event.active_call = static_cast<std::uint32_t>(wild());
  // Registers a call does not take are not kept.
  std::size_t taken = stored_arguments(event.kind, event.abi, event.number);
  for (std::size_t i = 0; i < taken; ++i) event.args[i] = below(3) == 0 ? random() : below(9);
  event.result = static_cast<std::int64_t>(wild()) - 100;
  list.add(event);
  std::uint64_t captures = below(4) == 0 ? below(8) : below(2);
  for (std::uint64_t i = 0; i < captures; ++i) {
    Capture capture;
    capture.argument = static_cast<std::uint8_t>(below(7));
    capture.kind = static_cast<CaptureKind>(1 + below(15));
    capture.provenance = static_cast<Provenance>(below(4));
    capture.truncated = below(4) == 0;
    std::string bytes(below(30) == 0 ? below(3000) : below(40), '\0');
    for (char& c : bytes) c = static_cast<char>(below(4) == 0 ? random() : 'a' + below(3));
    capture.full_length =
        static_cast<std::uint32_t>(below(3) == 0   ? wild()
                                   : below(2) == 0 ? bytes.size()
                                                   : static_cast<std::size_t>(event.result));
    list.capture(capture, std::move(bytes));
  }
}

void add_lifelike_events(EventList& list, std::size_t count, std::mt19937_64& random) {
  auto below = [&](std::uint64_t n) { return random() % n; };
  auto number = [](std::string_view name) { return find_syscall(Abi::x86_64, name)->number; };
  const std::uint32_t nr_openat = number("openat"), nr_read = number("read"),
                      nr_close = number("close"), nr_stat = number("newfstatat"),
                      nr_write = number("write"), nr_mmap = number("mmap"),
                      nr_munmap = number("munmap"), nr_getpid = number("getpid");
  std::uint64_t time = 4'000'000'000'000;
  std::uint64_t heap = 0x7f3a5c000000;
  std::int32_t pid = 4000;
  std::string directory = "/usr/lib/python3/dist-packages";
  auto start = [&](std::uint32_t nr, std::int64_t result) -> Event& {
    Event event;
    event.number = nr;
    time += 300 + below(1500);
    event.time_ns = time;
    event.duration_ns = 100 + below(900);
    event.pid = event.tid = pid;
    event.inside_pid = event.inside_tid = pid - 3990;
    event.origin_call = 1;
    event.result = result;
    return list.add(event);
  };
  while (list.events().size() < count) {
    if (below(200) == 0) pid = 4000 + static_cast<std::int32_t>(below(40));
    if (below(12) == 0)
      directory = "/usr/lib/python3/dist-packages/pkg" + std::to_string(below(300));
    std::string path = directory + "/module_" + std::to_string(below(40)) + ".py";
    Capture in{1, CaptureKind::path, Provenance::enter, false, 0, {}};
    in.full_length = static_cast<std::uint32_t>(path.size());
    std::uint64_t path_at = 0x7ffd10000000 + below(16) * 64;
    if (below(3) == 0) {
      start(nr_stat, below(3) == 0 ? 0 : -2).args = {0xffffff9c, path_at, 0x7ffd20000000, 0, 0, 0};
      list.capture(in, path);
      continue;
    }
    if (below(40) == 0) {
      start(nr_getpid, pid);
      continue;
    }
    if (below(12) == 0) {
      Event& event = start(nr_mmap, static_cast<std::int64_t>(heap));
      event.args = {0, 0x40000, 3, 0x22, 0xffffffff, 0};
      start(nr_munmap, 0).args = {heap, 0x40000, 0, 0, 0, 0};
      heap += below(4) * 0x1000;
      continue;
    }
    start(nr_openat, 3).args = {0xffffff9c, path_at, 0x80000, 0, 0, 0};
    list.capture(in, path);
    FileIdentity identity{100000 + std::hash<std::string>{}(path) % 50000, 8, 1, 0100644, 0};
    std::string object(reinterpret_cast<const char*>(&identity), sizeof(identity));
    object += path;
    Capture kernel{result_argument,
                   CaptureKind::file_identity,
                   Provenance::kernel,
                   false,
                   static_cast<std::uint32_t>(object.size()),
                   {}};
    list.capture(kernel, object);
    std::uint64_t size = below(40000);
    start(nr_read, static_cast<std::int64_t>(size)).args = {3, heap, 65536, 0, 0, 0};
    std::string content = "import os\nimport sys\n# module " + path;
    content.resize(std::min<std::size_t>(size, 64), '#');
    Capture out{1,         CaptureKind::buffer_out,          Provenance::enter,
                size > 64, static_cast<std::uint32_t>(size), {}};
    list.capture(out, content);
    start(nr_read, 0).args = {3, heap, 65536, 0, 0, 0};
    if (below(6) == 0) {
      std::string line = "checked " + path + "\n";
      start(nr_write, static_cast<std::int64_t>(line.size())).args = {1, heap, line.size(),
                                                                      0, 0,    0};
      Capture text{1,
                   CaptureKind::buffer_in,
                   Provenance::enter,
                   false,
                   static_cast<std::uint32_t>(line.size()),
                   {}};
      list.capture(text, line.substr(0, 64));
    }
    start(nr_close, 0).args = {3, 0, 0, 0, 0, 0};
  }
}

::testing::AssertionResult same_event(const Event& a, const Event& b) {
  auto differ = [&](const char* what) {
    return ::testing::AssertionFailure() << what << " differs at " << b.sequence;
  };
  if (a.kind != b.kind || a.abi != b.abi || a.verdict != b.verdict) return differ("kind");
  if (a.has_enter != b.has_enter || a.has_exit != b.has_exit) return differ("presence");
  if (a.number != b.number) return differ("number");
  if (a.time_ns != b.time_ns || a.duration_ns != b.duration_ns) return differ("time");
  if (a.pid != b.pid || a.tid != b.tid || a.inside_pid != b.inside_pid ||
      a.inside_tid != b.inside_tid || a.origin_call != b.origin_call ||
      a.active_call != b.active_call)
    return differ("context");
  if (a.args != b.args || a.result != b.result) return differ("arguments");
  if (a.captures.size() != b.captures.size()) return differ("number of captures");
  for (std::size_t i = 0; i < a.captures.size(); ++i) {
    const Capture& x = a.captures[i];
    const Capture& y = b.captures[i];
    if (x.argument != y.argument || x.kind != y.kind || x.provenance != y.provenance ||
        x.truncated != y.truncated || x.full_length != y.full_length || x.bytes != y.bytes)
      return differ("capture");
  }
  return ::testing::AssertionSuccess();
}

}  // namespace gyges::recorder::testing
