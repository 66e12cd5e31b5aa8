// What must be seen of every attempt, inside and in the control.
#pragma once

#include <span>

namespace gyges::attack {

struct Expected {
  const char* name;
  const char* inside;  // words separated by '|'
  // What the control shows: "worked", or "other" for anything but the inside's word: an error of
  // the arguments, past the check. "-": there is no safe control, for the reason in `why`.
  const char* control;
  bool root_only = false;  // the control needs the host's root
  const char* why = "";
};

std::span<const Expected> expectations();

}  // namespace gyges::attack
