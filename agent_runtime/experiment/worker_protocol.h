// What a runner and its workers say to each other: one JSON object a line, over any stream or file.
// The local executor uses a socket pair; nothing here assumes a common host beyond a shared
// directory, so that a batch system's tasks can speak it too.
//
//   worker: {"type":"ready","protocol":2,"backend":"ebpf"}        once, when runs can start
//   worker: {"type":"refused","error":{...}}                      instead of ready; the worker ends
//   runner: {"type":"run","slot":..,"request":{...}}              one at a time, but see below
//   worker: {"type":"finishing","slot":..}                        its agent has ended
//   worker: {"type":"done","slot":..,"outcome":{...}}             the bundle is sealed and synced
//   worker: {"type":"failed","slot":..,"error":{...}}             there is no bundle
//
// A worker that is finishing a run may be given the next one: it prepares it meanwhile, and begins
// it when it has reported the first.
//
// The runner ends a worker by closing its side of the stream.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "agent_runtime/episode/episode.h"
#include "base/error.h"

namespace gyges::experiment {

inline constexpr int worker_protocol_version = 2;
inline constexpr std::size_t max_message_bytes = 1U << 20U;

struct Assignment {
  std::string slot;
  episode::EpisodeRequest request;
};

struct WorkerReady {
  std::string backend;  // of the recorder; "off" without one
};
struct WorkerRefused {
  Error error;
};
struct RunFinishing {
  std::string slot;
};
struct RunDone {
  std::string slot;
  episode::EpisodeOutcome outcome;
};
struct RunFailed {
  std::string slot;
  Error error;
};
using WorkerMessage = std::variant<WorkerReady, WorkerRefused, RunFinishing, RunDone, RunFailed>;

// Lines, ended by a newline.
std::string encode(const Assignment& assignment);
std::string encode(const WorkerMessage& message);

// Anything that is not exactly such a message is an error.
Result<Assignment> decode_assignment(std::string_view line);
Result<WorkerMessage> decode_worker_message(std::string_view line);

}  // namespace gyges::experiment
