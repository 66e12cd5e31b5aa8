// How a process that only sleeps is shut in: by a filter that lets nothing through but sleep and a
// page of code, the door, which is used to finish the process's looks and then removed.
#pragma once

extern "C" long gyges_decoy_door(long number, long a, long b, long c, long d, long e);

namespace gyges::init {

inline long word(long value) {
  return value;
}
inline long word(const void* value) {
  return reinterpret_cast<long>(value);
}

// A system call of up to five arguments through the door; errors as the kernel tells them.
template <class... Arguments>
long through_door(long number, Arguments... arguments) {
  const long words[5] = {word(arguments)...};
  return gyges_decoy_door(number, words[0], words[1], words[2], words[3], words[4]);
}

// One past the door: under the filters pause, munmap, write or close_range. Without errno, which
// threads of one memory share.
long plain_call(long number, long a = 0, long b = 0, long c = 0);

// Stricter than any policy: whoever takes such a process over all the same gains nothing but sleep.
// Once the door is removed nothing comes through it: no call that maps anything is in the list.
bool load_filter_with_door();
// Of this memory; for all threads in it.
void remove_door();

// For a program that needs none; write(2) is in its list, too.
bool load_filter_without_door();

}  // namespace gyges::init
