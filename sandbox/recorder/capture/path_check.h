// Whether the path that a program passed leads to the object that the kernel opened.
//
// The kernel reads a path once, the recorder reads it another time, and a second thread may change
// it between the two. What the kernel opened is known from its own objects, so the record of the
// object is right in any case; this says of which calls the string is not.
//
// Where the two differ as text, symbolic links or mounts may explain it: the path is looked up once
// more below the task's root, without opening what is there. The lookup comes later than the call,
// so a link that was changed or removed meanwhile looks like a disagreement too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// Not thread-safe.
class PathCheck {
 public:
  // `stopped`: the caller of a checked call stands still meanwhile, so that its own root can be
  // trusted; otherwise only tasks with the root of add_root() are checked.
  explicit PathCheck(bool stopped) : stopped_(stopped) {}

  // `pid` is a process of the sandbox that cannot end just now. The first one counts.
  void add_root(pid_t pid);

  // Of a system call with its captures: the argument whose path leads elsewhere, or -1: it agrees,
  // or cannot be told (a call without a path or a named object; files below /proc; a task with
  // another root; a string that is not known in full).
  int disagreement(const Event& call);

  // Where the names lead that a call has changed, made or removed something under, and of which the
  // kernel tells no object (unlink, rename, mkdir, chmod ...): for each argument whose path leads
  // somewhere else than it says, through links in its directory or ".." behind one. Looked up after
  // the call, and so no better than what a program that changes links meanwhile wants it to be: to
  // be recorded beside what was asked for, not in its place.
  struct Elsewhere {
    std::uint8_t argument = 0;
    std::string path;
  };
  // `base`: the directory that a relative path of the argument is against, empty: unknown.
  template <class BaseOf>
  std::vector<Elsewhere> changed_elsewhere(const Event& call, const BaseOf& base_of) {
    std::vector<Elsewhere> found;
    if (!may_change(call)) return found;
    for (const Capture& capture : call.captures) {
      if (!is_changed_name(call, capture)) continue;
      std::string whole(capture.bytes);
      if (whole.front() != '/') {
        const std::string base(base_of(capture.argument));
        if (!base.starts_with('/')) continue;
        whole = base + "/" + whole;
      }
      if (std::string path = through_links(call, capture.argument, whole); !path.empty())
        found.push_back({capture.argument, std::move(path)});
    }
    return found;
  }
  // For a caller that stands still: its own directories.
  [[nodiscard]] static std::string base_of(const Event& call, std::size_t argument);

 private:
  struct Object {
    std::uint64_t inode = 0;
    std::uint64_t device = 0;  // as stat(2) has it
    std::string path;          // below the task's root
    [[nodiscard]] bool operator==(const Object& other) const {
      return path == other.path || (inode == other.inode && device == other.device);
    }
  };
  enum class Answer { agrees, elsewhere, unknown };
  Answer look_up(const Event& call, std::size_t argument, const std::string& requested,
                 const Object& used);
  bool may_change(const Event& call);
  static bool is_changed_name(const Event& call, const Capture& capture);
  std::string through_links(const Event& call, std::size_t argument, const std::string& whole);
  [[nodiscard]] std::string below_root(std::string path) const;
  static bool find(int directory, const std::string& path, std::uint64_t flags, Object& found);
  UniqueFd root_of(pid_t tid) const;

  bool stopped_;
  UniqueFd root_;
  UniqueFd mounts_;  // the root's mount namespace: else nothing is found below it once all ended
  Object root_object_;
  std::unordered_map<std::string, Object> agreed_;  // absolute paths that differ only by links
  std::unordered_set<std::string> straight_;        // directories without links on their way
};

// A place that was looked up after the call.
Capture looked_up_capture(std::uint8_t argument, std::string_view path);

// The event that says so, to be handed over after `call`: same thread, time, number and abi,
// args[0] = the argument; captures are the call's own.
Event disagreement_event(const Event& call, int argument);

}  // namespace gyges::recorder
