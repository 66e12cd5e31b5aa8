// Events for tests: random ones of every shape, and streams that look like real work.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <string>
#include <vector>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder::testing {

// Events together with what their views point to.
class EventList {
 public:
  Event& add(Event event = {}) { return events_.emplace_back(event); }
  // Adds a capture to the last event; the event's span is set by finished().
  void capture(Capture capture, std::string bytes);
  // Sets spans; call once after the last add().
  std::deque<Event>& finished();
  std::deque<Event>& events() { return events_; }

 private:
  std::deque<Event> events_;
  std::deque<std::string> bytes_;
  std::deque<std::vector<Capture>> captures_;  // one per event that has any
  std::deque<std::size_t> owner_;              // index of the event
};

// Any bits the model allows.
void add_random_event(EventList& list, std::mt19937_64& random);

// What a build or a package manager does: stat, open, read, close, mmap, over a tree of paths.
void add_lifelike_events(EventList& list, std::size_t count, std::mt19937_64& random);

// Every field but the sequence number.
::testing::AssertionResult same_event(const Event& a, const Event& b);

}  // namespace gyges::recorder::testing
