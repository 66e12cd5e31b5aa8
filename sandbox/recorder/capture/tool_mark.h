// The event that marks the start or the end of a tool call in a trace.
#pragma once

#include <string_view>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// `tool` is borrowed, and the event is a view of the mark.
class ToolMark {
 public:
  ToolMark(EventKind kind, std::uint32_t tool_call, std::string_view tool, std::uint64_t time_ns) {
    name_.kind = CaptureKind::text;
    name_.bytes = tool;
    name_.full_length = static_cast<std::uint32_t>(tool.size());
    event_.kind = kind;
    event_.time_ns = time_ns;
    event_.origin_call = tool_call;
    event_.active_call = tool_call;
    if (kind == EventKind::tool_call_start) event_.captures = {&name_, 1};
  }
  ToolMark(const ToolMark&) = delete;
  ToolMark& operator=(const ToolMark&) = delete;

  [[nodiscard]] const Event& event() const { return event_; }

 private:
  Capture name_;
  Event event_;
};

}  // namespace gyges::recorder
