// How fast traces are written and read, on one core, and how large they are.
//
//   trace_bench              a million synthetic events: open, read, stat, close, mmap over a tree
//   trace_bench FILE.gyt     the events of a real trace
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <functional>

#include "base/files.h"
#include "base/json.h"
#include "sample_events.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/format/trace_writer.h"

namespace gyges::recorder {
namespace {

// Processor time, so that other work on the machine does not count.
double cpu_seconds() {
  std::timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double seconds_of(const std::function<void()>& work) {
  double start = cpu_seconds();
  work();
  return cpu_seconds() - start;
}

Status load(const char* path, testing::EventList& list) {
  GYGES_TRY(TraceReader reader, TraceReader::open(path));
  return reader.for_each([&](const Event& event) {
    Event copy = event;
    copy.captures = {};
    list.add(copy);
    for (const Capture& capture : event.captures) list.capture(capture, std::string(capture.bytes));
    return true;
  });
}

Status measure(const char* file) {
  testing::EventList list;
  if (file != nullptr) {
    GYGES_CHECK(load(file, list));
  } else {
    std::mt19937_64 random(1);
    testing::add_lifelike_events(list, 1'000'000, random);
  }
  const std::deque<Event>& events = list.finished();
  auto count = static_cast<double>(events.size());
  GYGES_TRY(TemporaryDirectory directory, TemporaryDirectory::create("gyges_trace_bench"));
  Coverage coverage;
  double best_write = 1e9;
  double best_read = 1e9;
  double best_text = 1e9;
  Status status = ok();
  for (int round = 0; round < 5 && status; ++round) {
    auto path = directory.path() / fmt::format("{}.gyt", round);
    GYGES_TRY(std::unique_ptr<TraceWriter> writer, TraceWriter::create(path, Backend::ebpf));
    best_write = std::min(best_write, seconds_of([&] {
                            for (const Event& event : events)
                              if (status) status = writer->append(event);
                            if (status) status = writer->finish(coverage);
                          }));
    GYGES_CHECK(std::move(status));
    GYGES_TRY(TraceReader reader, TraceReader::open(path));
    std::uint64_t sum = 0;
    best_read = std::min(best_read, seconds_of([&] {
                           status = reader.for_each([&](const Event& event) {
                             sum += event.time_ns;
                             return true;
                           });
                         }));
    std::uint64_t left = 100'000;
    double text = seconds_of([&] {
      Status ignored = reader.for_each([&](const Event& event) {
        sum += format_event(event).size();
        return --left > 0;
      });
      (void)ignored;
    });
    best_text = std::min(best_text, text / std::min(count, 1e5));
    if (sum == 0) fmt::print("\n");  // keeps the work from being optimised away
  }
  GYGES_CHECK(std::move(status));
  nlohmann::json json{{"events", events.size()},
                      {"bytes_per_event", static_cast<double>(coverage.bytes) / count},
                      {"written_per_s", count / best_write},
                      {"read_per_s", count / best_read},
                      {"lines_per_s", 1 / best_text}};
  fmt::print(
      "events                {}\nbytes per event       {:.2f}\nwritten per second    {:.2f} M\n"
      "read per second       {:.2f} M\nlines per second      {:.2f} M\n{}\n",
      events.size(), static_cast<double>(coverage.bytes) / count, count / best_write / 1e6,
      count / best_read / 1e6, 1 / best_text / 1e6, json.dump());
  return ok();
}

}  // namespace
}  // namespace gyges::recorder

int main(int argc, char** argv) {
  auto status = gyges::recorder::measure(argc > 1 ? argv[1] : nullptr);
  if (!status) fmt::print(stderr, "{}\n", status.error().line());
  return status ? 0 : 1;
}
