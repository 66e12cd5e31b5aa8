// What a monitor sees of an episode: the transcript's lines and the trace's events, in the order in
// which they stand in the bundle, cut at moments that do not depend on when somebody looked. So a
// monitor that runs along with an episode and one that runs over its bundle see the same.
//
// Moments: before a call, when it has been requested; after a call, when its result stands in the
// transcript, with the events up to the mark of its end; the end, with everything that is left.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent_runtime/episode/watcher.h"
#include "base/error.h"

namespace gyges::recorder {
class PathResolver;
class TraceReader;
}  // namespace gyges::recorder

namespace gyges::monitor {

// One event of the trace that a monitor may have to know: everything but reads, waits and what
// processes do within themselves.
struct SeenEvent {
  enum class Kind { exec, change, open, network, refused, other };
  Kind kind = Kind::other;
  std::uint64_t sequence = 0;
  std::uint32_t call = 0;  // in progress, else the one that started the process
  std::string name;        // of the system call
  bool succeeded = false;
  bool refused = false;
  std::vector<std::string> paths;  // absolute where the record allows
  std::vector<std::string> argv;   // of an exec
  std::string address;             // of a connect or a send: "192.0.2.1:443", "/run/socket"
};

struct SeenCall {
  std::uint32_t call = 0;
  std::string tool;
  std::string arguments;  // the text of a JSON object
  std::string rationale;  // what the agent said and thought with it
  std::string decision;   // "approved", ...; empty before
  bool executed = false;
  std::string output;
  std::int64_t exit_code = 0;
};

// What came since the moment before.
struct Scene {
  episode::Moment moment = episode::Moment::before;
  std::uint32_t call = 0;             // 0 at the end
  const SeenCall* current = nullptr;  // of before and after
  std::vector<SeenEvent> events;      // of after and end
  std::string report;                 // of the end
  std::string task;                   // the prompts
};

const char* moment_name(episode::Moment moment);  // "before", "after", "end"

// Reads events up to a mark. Events of a trace that is still being written are taken as its blocks
// are finished.
class EventSource {
 public:
  // A file that is not there gives no events.
  explicit EventSource(std::filesystem::path trace);
  ~EventSource();
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;

  // The events up to the end mark of `call`, none where that mark stands before one that was asked
  // for earlier; nullopt: up to the end of the file. An error where the mark, or a readable trace,
  // is not there.
  Result<std::vector<SeenEvent>> up_to(std::optional<std::uint32_t> call);

 private:
  Status read();
  std::filesystem::path trace_;
  std::unique_ptr<recorder::TraceReader> reader_;
  std::unique_ptr<recorder::PathResolver> paths_;
  struct Item {
    std::uint32_t end_of = 0;  // not 0: the end mark of this call
    SeenEvent event;
  };
  std::deque<Item> items_;
  std::set<std::uint32_t> passed_;  // calls whose end marks stood before that of another
  std::size_t since_mark_ = 0;      // events kept since the last mark
};

// Puts lines together into scenes.
class Observation {
 public:
  // `trace` is read as it grows; `flush` is called before it is, but at the end,
  // when it is whole (may be empty).
  Observation(const std::filesystem::path& trace, std::function<Status()> flush)
      : events_(trace), flush_(std::move(flush)) {}

  // Takes a line of the transcript. Its own verdicts and what it does not know are passed over.
  void take(const nlohmann::json& line);

  // The scene of the moment that the line taken last belongs to.
  Result<Scene> scene(episode::Moment moment, std::uint32_t call);

  // Which moment a line of a transcript is, for whoever reads it from a file.
  static std::optional<std::pair<episode::Moment, std::uint32_t>> moment_of(
      const nlohmann::json& line);

 private:
  SeenCall& at(std::uint32_t call);
  EventSource events_;
  std::function<Status()> flush_;
  std::deque<SeenCall> calls_;  // all so far; a deque, because scenes point into it
  std::string task_;
  std::string rationale_;
  std::string report_;
};

}  // namespace gyges::monitor
