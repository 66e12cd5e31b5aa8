// Entries of a tree of generated files, collected in the order in which they can be made.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sandbox/isolation/disguise.h"

namespace gyges::cues {

// Directories come by themselves, once each and before what is in them. One is a run's own only as
// long as all that is in it is.
class EntryTree {
 public:
  using TreeEntry = isolation::TreeEntry;

  explicit EntryTree(unsigned directory_mode) : mode_(directory_mode) { made_.reserve(1U << 11U); }

  void directory(const std::string& path, bool own = false) {
    if (path.empty()) return;
    const auto made = made_.find(path);
    // Shared directories are in shared ones.
    if (made != made_.end() && (own || !entries_[made->second].own)) return;
    const std::size_t slash = path.rfind('/');
    if (slash != std::string::npos) directory(path.substr(0, slash), own);
    if (made != made_.end())
      entries_[made->second].own = false;
    else
      put({TreeEntry::Kind::directory, path, "", mode_, own});
  }
  void file(const std::string& path, std::string content, unsigned mode = 0444) {
    add({TreeEntry::Kind::file, path, std::move(content), mode});
  }
  // One that differs from run to run.
  void own_file(const std::string& path, std::string content, unsigned mode = 0444) {
    add({TreeEntry::Kind::file, path, std::move(content), mode, true});
  }
  // One of the run's own that is written anew once a second; `renew` as that of a cover.
  void moving_file(const std::string& path, std::function<std::string()> renew) {
    add({TreeEntry::Kind::file, path, "", 0444, true,
         [renew = std::move(renew)](const isolation::OwnUse&) { return renew(); }});
  }
  void link(const std::string& path, const std::string& target) {
    // Relative to the directory of the link, as the kernel writes them.
    std::string up;
    for (char letter : path) up += letter == '/' ? "../" : "";
    add({TreeEntry::Kind::symlink, path, up + target, 0777});
  }
  std::vector<TreeEntry> take() { return std::move(entries_); }

 private:
  void add(TreeEntry entry) {
    const std::size_t slash = entry.path.rfind('/');
    if (slash != std::string::npos) parent({entry.path.data(), slash}, entry.own);
    put(std::move(entry));
  }
  // Files come in groups of one directory.
  void parent(std::string_view path, bool own) {
    if (path == last_ && (own || !last_own_)) return;
    last_ = path;
    last_own_ = own;
    directory(last_, own);
  }
  // The first of a name stays.
  void put(TreeEntry entry) {
    if (made_.try_emplace(entry.path, entries_.size()).second) entries_.push_back(std::move(entry));
  }

  unsigned mode_;
  std::unordered_map<std::string, std::size_t> made_;  // where in entries_
  std::string last_;                                   // directory that is there
  bool last_own_ = false;
  std::vector<TreeEntry> entries_;
};

}  // namespace gyges::cues
