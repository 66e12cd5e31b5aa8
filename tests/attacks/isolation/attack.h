// One attempt to leave, blind or exhaust a sandbox.
#pragma once

#include <cerrno>
#include <string>
#include <vector>

namespace gyges::attack {

// What an attempt came to: "worked", the name of an errno, or a word of its own.
using Attempt = std::string (*)();

struct Row {
  const char* item;  // of the inventory in tests/attacks/README.md
  const char* name;
  Attempt attempt;
};

// A directory that the attempts may write in.
extern std::string scratch;
// A file of the host that no sandbox shows.
extern std::string marker;

std::string name_of(int code);

// A result of a system call.
inline std::string outcome(long result) {
  return result >= 0 ? "worked" : name_of(errno);
}

std::vector<Row> kernel_attempts();
std::vector<Row> process_attempts();
std::vector<Row> file_attempts();
std::vector<Row> surface_attempts();
std::vector<Row> privilege_attempts();

}  // namespace gyges::attack
