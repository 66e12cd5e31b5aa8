// Which tasks share working directory and descriptors, and what becomes of them.
#include <linux/close_range.h>
#include <sched.h>

#include <algorithm>

#include "sandbox/recorder/format/resolved_paths.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t max_descriptors = 1'000'000;
constexpr std::size_t max_processes = 200'000;
constexpr std::size_t max_name_bytes = 8192;

}  // namespace

bool PathResolver::has_room_for(std::int32_t pid) const {
  return processes_.size() < max_processes || find(pid) != nullptr;
}

PathResolver::Shared& PathResolver::writable(std::int32_t pid, std::int32_t tid) {
  auto own = own_.empty() ? own_.end() : own_.find(tid);
  Shared& shared = own != own_.end() ? own->second : process(pid).shared;
  if (shared.directory == nullptr) shared.directory = std::make_shared<Directory>();
  if (shared.files == nullptr) shared.files = std::make_shared<Files>();
  return shared;
}

void PathResolver::set_directory(const Event& event, PathId directory) {
  if (has_room_for(event.pid)) writable(event.pid, event.tid).directory->name = directory;
}

// What the thread shared until now is its own from here on; `flags` as of unshare.
void PathResolver::unshare(const Event& event, std::uint64_t flags) {
  if ((flags & (CLONE_NEWNS | CLONE_NEWUSER)) != 0) flags |= CLONE_FS;
  if ((flags & (CLONE_FS | CLONE_FILES)) == 0 || !has_room_for(event.pid) ||
      own_.size() >= max_processes)
    return;
  Shared mine = writable(event.pid, event.tid);
  if ((flags & CLONE_FS) != 0) mine.directory = std::make_shared<Directory>(*mine.directory);
  if ((flags & CLONE_FILES) != 0) mine.files = std::make_shared<Files>(*mine.files);
  own_[event.tid] = std::move(mine);
}

// The last one that held them takes its descriptors out of the count.
void PathResolver::forget(const Shared& shared) {
  if (shared.files != nullptr && shared.files.use_count() == 1 && shared.files->table != nullptr &&
      shared.files->table.use_count() == 1)
    descriptor_count_ -= shared.files->table->count();
}

DescriptorTable& PathResolver::writable_descriptors(Files& files) {
  if (files.table == nullptr) {
    files.table = std::make_shared<DescriptorTable>();
  } else if (files.table.use_count() > 1) {
    if (descriptor_count_ + files.table->count() > max_descriptors)
      files.table = std::make_shared<DescriptorTable>();
    else
      files.table = std::make_shared<DescriptorTable>(*files.table);
    descriptor_count_ += files.table->count();
  }
  return *files.table;
}

void PathResolver::set_descriptor(std::int32_t pid, std::int32_t tid, std::int64_t fd,
                                  Descriptor descriptor) {
  if (fd < 0 || fd > INT32_MAX) return;
  auto number = static_cast<std::int32_t>(fd);
  if (descriptor.name == no_path && descriptor_of(pid, tid, number).name == no_path) return;
  if (!has_room_for(pid)) return;
  DescriptorTable& table = writable_descriptors(*writable(pid, tid).files);
  const bool is_new = table.find(number) == nullptr;
  if (descriptor.name == no_path || (descriptor_count_ >= max_descriptors && is_new)) {
    descriptor_count_ -= is_new ? 0 : 1;
    table.erase(number);
    return;
  }
  if (std::string_view text = names_->text(descriptor.name); text.size() > max_name_bytes)
    descriptor.name = names_->id_of(text.substr(0, max_name_bytes));
  descriptor_count_ += is_new ? 1 : 0;
  table.set(number, descriptor);
}

// Of a close_range.
void PathResolver::close_descriptors(const Event& event) {
  const auto first = static_cast<std::uint32_t>(event.args[0]);
  const auto last = static_cast<std::uint32_t>(event.args[1]);
  if ((event.args[2] & CLOSE_RANGE_UNSHARE) != 0) unshare(event, CLONE_FILES);
  const Shared* const shared = shared_of(event.pid, event.tid);
  if (shared == nullptr || shared->files == nullptr) return;
  DescriptorTable& table = writable_descriptors(*shared->files);
  if ((event.args[2] & CLOSE_RANGE_CLOEXEC) != 0) return table.close_on_exec(first, last);
  const std::size_t before = table.count();
  table.erase(first, last);
  descriptor_count_ -= before - table.count();
}

void PathResolver::apply_start(const Event& event) {
  const std::uint64_t flags = event.args[0];
  const auto child = static_cast<std::int32_t>(event.result);
  const bool thread = (flags & CLONE_THREAD) != 0;
  constexpr std::uint64_t both = CLONE_FS | CLONE_FILES;
  (void)ends_.ends(event);
  if (thread && (flags & both) == both && own_.empty()) return;
  if (child == event.pid || processes_.size() >= max_processes || own_.size() >= max_processes)
    return;
  Shared theirs = writable(event.pid, event.tid);
  if ((flags & CLONE_FS) == 0) theirs.directory = std::make_shared<Directory>(*theirs.directory);
  if ((flags & CLONE_FILES) == 0) theirs.files = std::make_shared<Files>(*theirs.files);
  if (thread) {
    if ((flags & both) != both || own_.count(event.tid) != 0) own_[child] = std::move(theirs);
    return;
  }
  Process copy{std::move(theirs), process(event.pid).program};
  process(child) = std::move(copy);
}

void PathResolver::apply_exec(const Event& event) {
  (void)ends_.ends(event);
  for (const Capture& capture : event.captures)
    if (const std::string_view image = identity_path(capture);
        !image.empty() && has_room_for(event.pid))
      process(event.pid).program = names_->id_of(image.substr(0, max_name_bytes));
  if (find(event.pid) == nullptr) return;
  Shared& shared = process(event.pid).shared;
  if (auto own = own_.find(event.tid); own != own_.end()) {  // the only thread from here on
    shared = std::move(own->second);
    own_.erase(own);
  }
  if (shared.files == nullptr || shared.files->table == nullptr) return;
  if (shared.files.use_count() > 1) shared.files = std::make_shared<Files>(*shared.files);
  DescriptorTable& table = writable_descriptors(*shared.files);
  const std::size_t before = table.count();
  table.erase_closed_on_exec();
  descriptor_count_ -= before - table.count();
}

void PathResolver::apply_exit(const Event& event) {
  if (auto own = own_.find(event.tid); own != own_.end()) {
    forget(own->second);
    own_.erase(own);
  }
  if (!ends_.ends(event)) return;
  auto found = processes_.find(event.pid);
  if (found == processes_.end()) return;
  forget(found->second.shared);
  ended_ = {event.pid, found->second.program};
  last_process_ = nullptr;
  processes_.erase(found);
}

}  // namespace gyges::recorder
