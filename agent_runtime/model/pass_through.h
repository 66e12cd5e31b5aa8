// An exchange of an agent that speaks its endpoint's own dialect: the request goes out as the agent
// wrote it and the answer comes back as the endpoint wrote it, so that nothing is lost that Gyges
// has no name for. What is read on the way is the parsed copy, for the record.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/key_forms.h"
#include "base/error.h"

namespace gyges::model {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct PassThrough {
  // What is sent in place of a written request; see WireRequest. The key is added to it.
  std::string path;
  std::vector<std::string> headers;
  std::string body;
  // The stream comes as one JSON array of events and not as server-sent events (Gemini).
  bool array = false;

  // The answer. Headers are those that name the reply and its limits, not those that name the
  // account; `answer` is a whole body, of a reply or of an error. The key is taken out of all.
  int status = 0;
  HeaderList answer_headers;
  std::string answer;
  // Of a stream: each event as it came, with what it says, which may be nothing. Empty bytes with
  // deltas: the end said something more. False: nobody listens any more.
  std::function<bool(std::string_view bytes, const std::vector<Delta>& deltas)> event;
};

// Whether a header of an endpoint's answer is handed on to an agent.
bool is_handed_on(std::string_view name);

// Of the longest end of the text that is the beginning of one of the words: its length.
std::size_t begun_at_end(std::string_view text, const std::vector<std::string>& words);

// Takes words out of a stream, wherever it is cut. Not thread-safe.
class WordFilter {
 public:
  // No word is empty. Where one begins with another, the longer one is what is found.
  explicit WordFilter(std::vector<std::string> words, std::string instead = key_mark)
      : words_(std::move(words)), instead_(std::move(instead)) {}

  // What may be handed on now; the beginning of a word that is not whole waits.
  std::string take(std::string_view bytes);
  // What still waits.
  std::string finish() { return std::exchange(held_, {}); }

 private:
  std::vector<std::string> words_;
  std::string instead_;
  std::string held_;
};

// Cuts a stream behind each of its events. Memory is bounded by the limit. Not thread-safe.
class EventCutter {
 public:
  // `array`: see PassThrough.
  EventCutter(bool array, std::size_t most_bytes) : array_(array), limit_(most_bytes) {}

  // Appends the events that are complete, with the white space, commas and brackets between them.
  Status feed(std::string_view bytes, std::vector<std::string>& events);
  // What is left at the end.
  std::string finish() { return std::exchange(held_, {}); }

 private:
  [[nodiscard]] std::size_t end_of_event();

  bool array_;
  std::size_t limit_;
  std::string held_;
  std::size_t seen_ = 0;  // of held_, in which there is no end
  int depth_ = 0;         // array: of brackets
  bool in_text_ = false, escaped_ = false;
};

// The JSON value in what EventCutter gives for an array: without what stands around it.
std::string_view value_in_event(std::string_view event);

}  // namespace gyges::model
