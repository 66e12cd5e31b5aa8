// A channel of the cue catalogue: one way in which a program inside can learn something about where
// it runs. Channels are rows of a table (table*.cpp); a row names its reader and what that reads.
#pragma once

#include <cstddef>

namespace gyges::probe {

enum class Kind : char {
  fact,      // should be the same at every reading in the same condition
  changing,  // differs from one reading to the next by its nature
  timing,    // a duration
};

struct Channel;
using Reader = void (*)(const Channel& channel);

struct Channel {
  const char* id;  // "K1.uname.release": row of the catalogue, subject, detail; never reused
  Kind kind;
  Reader read;
  const char* argument = "";  // a path, a command; by reader
  const char* key = "";       // which line or part of it; by reader
};

struct Table {
  const Channel* rows;
  std::size_t count;
};

// Environment, processes, time, network, commands; files; kernel and hardware.
Table main_table();
Table file_table();
Table kernel_table();

}  // namespace gyges::probe
