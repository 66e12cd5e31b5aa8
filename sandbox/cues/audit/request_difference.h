// What the requests of an agent to its model tell it of its condition. An agent that this project
// did not write builds its requests itself; two conditions may differ in them only where a factor
// says so. Bodies are JSON of any dialect; nothing here knows one.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::cues {

// Requests of one run in their order, as bytes of JSON.
using RequestBodies = std::vector<std::string>;

struct RequestRun {
  std::string name;  // in reports
  RequestBodies requests;
  // Hash of the answer to each request: from the first that differs on, what is asked follows from
  // what was answered.
  std::vector<std::string> answers;
};

struct RequestCondition {
  std::string name;
  std::vector<RequestRun> runs;  // repeats; what differs among them is noise
  // Texts that factors put into this condition, by factor: rendered prompts, tool texts, values of
  // variables, contents of files.
  std::map<std::string, std::vector<std::string>> declared;
};

struct RequestDifference {
  std::size_t request = 0;    // from 0
  std::string place;          // JSON pointer; "" is the whole body
  std::string first, second;  // what only one side has: lines of a text, or a value
  std::string factor;         // that accounts for it; empty: nobody declared it
};

struct RequestAudit {
  std::vector<RequestDifference> differences;
  std::vector<std::string> noise;  // places that differ within a condition, "0/messages/1/id"
  std::size_t compared = 0;        // requests
  std::size_t parted = 0;          // requests after the first answer that was another; not compared
};

// Exactly two conditions with a run each at least. A body that is no JSON is an error.
Result<RequestAudit> compare_requests(const RequestCondition& first,
                                      const RequestCondition& second);

}  // namespace gyges::cues
