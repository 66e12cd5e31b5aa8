// Acts made by hand, as the trace would give them. Each is valid while `visit` runs.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analysis/features/act.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::analysis {

using VisitAct = std::function<void(const Act&)>;

inline void with_exec(std::uint64_t time, std::vector<std::string> argv, std::int32_t pid,
                      const VisitAct& visit) {
  recorder::Event event;
  event.time_ns = time;
  event.pid = event.tid = pid;
  Act act;
  act.event = &event;
  act.does = traits_of_call("execve");
  act.succeeded = true;
  act.paths = {{argv[0], false}};
  act.argv = std::move(argv);
  visit(act);
}

// `status` as wait(2) gives it.
inline void with_exit(std::uint64_t time, std::int64_t status, std::int32_t pid,
                      const VisitAct& visit) {
  recorder::Event event;
  event.time_ns = time;
  event.kind = recorder::EventKind::process_exit;
  event.pid = event.tid = pid;
  event.result = status;
  Act act;
  act.event = &event;
  visit(act);
}

// A call that succeeded.
inline void with_call_on_path(std::uint64_t time, std::string_view name, const std::string& path,
                              bool changes, const VisitAct& visit) {
  recorder::Event event;
  event.time_ns = time;
  Act act;
  act.event = &event;
  act.does = traits_of_call(name);
  act.succeeded = true;
  act.paths = {{path, changes}};
  visit(act);
}

inline void with_connect(std::uint64_t time, std::uint32_t address, std::uint16_t port,
                         const VisitAct& visit) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(address);
  recorder::Capture capture;
  capture.kind = recorder::CaptureKind::sockaddr_in;
  capture.bytes = {reinterpret_cast<const char*>(&to), sizeof to};
  recorder::Event event;
  event.time_ns = time;
  event.captures = {&capture, 1};
  Act act;
  act.event = &event;
  act.does = traits_of_call("connect");
  visit(act);
}

}  // namespace gyges::analysis
