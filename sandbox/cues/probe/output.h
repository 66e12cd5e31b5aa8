// What the probe says: one JSON object a line for every observation, all text escaped to ASCII and
// cut at a limit, so that a reader needs no more than a line at a time.
//
//   {"probe":"gyges","version":1}                                                       first line
//   {"channel":"K1.uname.release","how":"uname(2), raw","class":"fact","value":"6.1.0"}
//   {"channel":"F1.marker.dockerenv","how":"stat /.dockerenv","class":"fact","error":"ENOENT"}
//   {"end":612,"microseconds":84211}                      last line: number of observations, time
#pragma once

#include <cstddef>

#include "sandbox/cues/probe/channel.h"

namespace gyges::probe {

inline constexpr std::size_t value_limit =
    3072;  // bytes; a longer one is cut and has its hash added
inline constexpr std::size_t observation_limit = 6000;

void begin_output();
void end_output(long microseconds);

// An observation; `detail` is appended to the channel's id after a dot (names from outside: other
// characters than letters, digits and _-/:@+ become '_'). `how` says how it was read.
void say(const Channel& channel, const char* detail, const char* how, const char* value,
         std::size_t length);
void say(const Channel& channel, const char* detail, const char* how, const char* value);
void say_number(const Channel& channel, const char* detail, const char* how, long long number);
// It could not be read: the name of errno.
void say_error(const Channel& channel, const char* detail, const char* how, int error);

}  // namespace gyges::probe
