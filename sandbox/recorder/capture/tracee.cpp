#include "sandbox/recorder/capture/tracee.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/fd.h"
#include "sandbox/recorder/capture/capture_plan.h"
#include "sandbox/recorder/capture/thread_table.h"
#include "sandbox/recorder/format/resolved_paths.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t page = 4096;

template <class T>
T value_at(const std::string& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

std::uint32_t saturated(std::uint64_t length) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(length, UINT32_MAX));
}

Capture of_kind(std::size_t argument, std::uint8_t kind) {
  Capture capture;
  capture.argument = static_cast<std::uint8_t>(argument);
  capture.kind = static_cast<CaptureKind>(kind);
  return capture;
}

void add_missing(Capture capture, CaptureList& list) {
  capture.provenance = Provenance::missing;
  list.add(capture, {});
}

}  // namespace

void CaptureList::add(Capture capture, std::string bytes) {
  bytes_.push_back(std::move(bytes));
  capture.bytes = bytes_.back();
  if (capture.full_length == 0) capture.full_length = saturated(capture.bytes.size());
  captures_.push_back(capture);
}

void CaptureList::clear() {
  captures_.clear();
  bytes_.clear();
}

std::optional<std::string> Tracee::read(std::uint64_t address, std::size_t length) const {
  std::string bytes(length, '\0');
  const iovec local{bytes.data(), length};
  const iovec remote{reinterpret_cast<void*>(address), length};
  if (length != 0 &&
      process_vm_readv(tid_, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(length))
    return std::nullopt;
  return bytes;
}

std::optional<std::string> Tracee::read_string(std::uint64_t address, std::size_t limit,
                                               bool& truncated) const {
  std::string text;
  truncated = false;
  while (text.size() < limit) {
    // The page after the string may be absent: never read over a page's end at once.
    const std::size_t chunk =
        std::min({limit - text.size(), page - (address + text.size()) % page, std::size_t{512}});
    const std::optional<std::string> part = read(address + text.size(), chunk);
    if (!part) return std::nullopt;
    const std::size_t end = part->find('\0');
    text.append(*part, 0, end);
    if (end != std::string::npos) return text;
  }
  text.pop_back();  // the kernel side's limit counts the NUL
  truncated = true;
  return text;
}

void Tracee::capture_bytes(Capture capture, std::uint64_t address, std::uint64_t length,
                           std::size_t limit, CaptureList& list) const {
  if (length == 0) return;
  const std::size_t bytes =
      static_cast<std::size_t>(std::min<std::uint64_t>({length, limit, wire::structure_limit}));
  std::optional<std::string> read_bytes = read(address, bytes);
  // A program may use a version of a structure that is shorter than ours, at the end of its memory.
  if (const std::size_t inside = page - address % page; !read_bytes && inside < bytes)
    read_bytes = read(address, inside);
  if (!read_bytes) return add_missing(capture, list);
  capture.truncated = read_bytes->size() < length;
  capture.full_length = saturated(length);
  list.add(capture, std::move(*read_bytes));
}

void Tracee::capture_strings(Capture capture, std::uint64_t address, std::size_t budget,
                             CaptureList& list) const {
  std::string strings;
  bool one_was_cut = false;
  capture.truncated = true;
  for (std::size_t i = 0; i <= wire::argv_strings; ++i) {
    const std::optional<std::string> pointer = read(address + 8 * i, 8);
    if (!pointer) return add_missing(capture, list);
    const auto string_address = value_at<std::uint64_t>(*pointer, 0);
    if (string_address == 0) {
      capture.truncated = one_was_cut;
      break;
    }
    if (i == wire::argv_strings || strings.size() >= budget) break;
    bool cut = false;
    const std::optional<std::string> text = read_string(string_address, wire::string_limit, cut);
    if (!text) return add_missing(capture, list);
    one_was_cut = one_was_cut || cut;
    strings += *text;
    strings += '\0';
  }
  list.add(capture, std::move(strings));
}

void Tracee::capture_iovec(Capture capture, std::uint64_t address, std::uint64_t elements,
                           std::uint64_t length, CaptureList& list) const {
  std::string bytes;
  std::uint64_t total = 0;
  const std::uint64_t limit = std::min<std::uint64_t>(buffer_bytes_, length);
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(elements, wire::iovec_elements); ++i) {
    const std::optional<std::string> vector = read(address + 16 * i, 16);
    if (!vector) return add_missing(capture, list);
    const auto size = value_at<std::uint64_t>(*vector, 8);
    total += size;
    const auto wanted = static_cast<std::size_t>(
        std::min<std::uint64_t>(size, limit - std::min<std::uint64_t>(limit, bytes.size())));
    const std::optional<std::string> part = read(value_at<std::uint64_t>(*vector, 0), wanted);
    if (!part) return add_missing(capture, list);
    bytes += *part;
  }
  total = std::min(total, length);
  capture.truncated = bytes.size() < total;
  capture.full_length = saturated(total);
  list.add(capture, std::move(bytes));
}

// Files that came with a message, by the descriptors in its control messages.
void Tracee::capture_received(std::size_t argument, std::uint64_t address, std::uint64_t length,
                              CaptureList& list) const {
  constexpr std::uint64_t head_bytes = 16;  // cmsg_len, cmsg_level, cmsg_type
  while (length >= head_bytes) {
    const std::optional<std::string> head = read(address, head_bytes);
    const auto size = head ? value_at<std::uint64_t>(*head, 0) : 0;
    if (size < head_bytes || size > length) return;
    if (value_at<std::int32_t>(*head, 8) == SOL_SOCKET &&
        value_at<std::int32_t>(*head, 12) == SCM_RIGHTS) {
      const std::size_t known = static_cast<std::size_t>(
          std::count_if(list.all().begin(), list.all().end(), [](const Capture& capture) {
            return capture.kind == CaptureKind::file_identity;
          }));
      const std::uint64_t count = std::min<std::uint64_t>(
          (size - head_bytes) / sizeof(int), wire::received_files - std::min<std::size_t>(known, wire::received_files));
      const std::optional<std::string> numbers = read(address + head_bytes, count * sizeof(int));
      if (!numbers) return;
      for (std::size_t i = 0; i < count; ++i) {
        const int fd = value_at<int>(*numbers, i * sizeof(int));
        if (fd >= 0)
          capture_file(argument, "fd/" + std::to_string(fd), list,
                       static_cast<std::uint32_t>(fd) + 1);
      }
    }
    const std::uint64_t step = std::min((size + 7) & ~std::uint64_t{7}, length);
    address += step;
    length -= step;
  }
}

bool Tracee::capture_msghdr(Capture capture, std::uint64_t address, bool several,
                            std::optional<std::int64_t> result, CaptureList& list) const {
  const std::optional<std::string> message = read(address, several ? 60 : 56);
  if (!message) {
    add_missing(capture, list);
    return false;
  }
  const auto name = value_at<std::uint64_t>(*message, 0);
  const auto name_length = value_at<std::uint32_t>(*message, 8);
  std::uint64_t length = UINT64_MAX;
  if (result)
    length = several ? value_at<std::uint32_t>(*message, 56) : static_cast<std::uint64_t>(*result);
  if (name != 0 && name_length != 0) {
    Capture peer = capture;
    peer.kind = result ? CaptureKind::sockaddr_out : CaptureKind::sockaddr_in;
    capture_bytes(peer, name, name_length, wire::sockaddr_limit, list);
  }
  const auto control = value_at<std::uint64_t>(*message, 32);
  const auto control_length = value_at<std::uint64_t>(*message, 40);
  if (control != 0 && control_length != 0) {
    Capture rights = capture;
    rights.kind = result ? CaptureKind::structure_out : CaptureKind::structure_in;
    capture_bytes(rights, control, control_length, wire::structure_limit, list);
  }
  capture_iovec(capture, value_at<std::uint64_t>(*message, 16),
                value_at<std::uint64_t>(*message, 24), length, list);
  const bool whole = list.all().back().provenance != Provenance::missing;
  if (result && control != 0 && control_length != 0)
    capture_received(capture.argument, control, control_length, list);
  return whole;
}

void Tracee::capture_argument(const wire::plan& plan, std::size_t index, const Arguments& args,
                              std::optional<std::int64_t> result, CaptureList& list) const {
  const wire::plan_argument* chosen =
      plan.choice[index] == 0
          ? nullptr
          : capture_cases().find(plan.choice[index],
                                 args[plan.arguments[index].length_argument % 6U]);
  const wire::plan_argument& spec = chosen != nullptr ? *chosen : plan.arguments[index];
  const std::uint64_t address = args[index];
  const std::uint8_t kind = result ? spec.kind_out : spec.kind_in;
  if (address == 0 || kind == 0) return;
  Capture capture = of_kind(index, kind);
  if (result) capture.provenance = Provenance::exit;
  const std::uint64_t other = args[spec.length_argument % 6U];
  std::uint64_t length = spec.unit;
  std::size_t limit = buffer_bytes_;
  switch (spec.length) {
    case wire::plan_length_argument:
      length *= other;
      break;
    case wire::plan_length_result:
      length *= static_cast<std::uint64_t>(result.value_or(0));
      break;
    case wire::plan_length_ioctl:
      length = other >> 16U & 0x3fffU;
      break;
    case wire::plan_length_pointed: {
      const std::optional<std::string> pointed = read(other, 4);
      if (!pointed) return add_missing(capture, list);
      length = value_at<std::uint32_t>(*pointed, 0);
      break;
    }
    case wire::plan_length_after_argument:
      length += other;
      break;
    case wire::plan_length_after_result:
      length += static_cast<std::uint64_t>(result.value_or(0));
      break;
    default:
      limit = wire::structure_limit;
  }
  switch (spec.operation) {
    case wire::plan_string: {
      Capture text = capture;
      std::optional<std::string> bytes = read_string(address, spec.unit, text.truncated);
      if (!bytes) return add_missing(capture, list);
      return list.add(text, std::move(*bytes));
    }
    case wire::plan_bytes:
      if (spec.several != 0) limit = wire::structure_limit;
      return capture_bytes(capture, address, length, limit, list);
    case wire::plan_sockaddr:
      return capture_bytes(capture, address, length, wire::sockaddr_limit, list);
    default:
      break;
  }
  if (narrow_) return;
  switch (spec.operation) {
    case wire::plan_strings:
      return capture_strings(capture, address, spec.unit, list);
    case wire::plan_iovec:
      return capture_iovec(capture, address, other,
                           result ? static_cast<std::uint64_t>(*result) : UINT64_MAX, list);
    case wire::plan_msghdr:
      if (spec.several == 0) {
        capture_msghdr(capture, address, false, result, list);
        return;
      }
      for (std::uint64_t i = 0; i < wire::messages; ++i)
        if (i >= static_cast<std::uint64_t>(result ? *result : static_cast<std::uint32_t>(other)) ||
            !capture_msghdr(capture, address + 64 * i, true, result, list))
          return;
      return;
    default:
      return;
  }
}

void Tracee::capture_base(const wire::plan& plan, std::size_t index, const Arguments& args,
                          CaptureList& list) const {
  for (const Capture& given : list.all()) {
    if (given.argument != index || given.kind != CaptureKind::path || given.truncated ||
        given.provenance == Provenance::missing || given.bytes.starts_with('/'))
      continue;
    const std::uint8_t dirfd = plan.dirfd[index];
    const int fd = dirfd < 6 ? static_cast<int>(args[dirfd]) : AT_FDCWD;
    const std::string directory =
        proc_.target_inside(tid_, fd == AT_FDCWD ? "cwd" : "fd/" + std::to_string(fd));
    if (directory.empty()) return;
    Capture absolute = of_kind(index, static_cast<std::uint8_t>(CaptureKind::absolute_path));
    return list.add(absolute, join_path(directory, given.bytes));
  }
}

void Tracee::capture_entry(const wire::plan& plan, const Arguments& args, CaptureList& list) const {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if ((plan.enter_mask >> i & 1U) != 0) capture_argument(plan, i, args, std::nullopt, list);
    if ((plan.flags & wire::plan_base_always) != 0 && (plan.base_mask >> i & 1U) != 0)
      capture_base(plan, i, args, list);
  }
  if ((plan.flags & wire::plan_identify_fd) != 0)
    capture_file(0, "fd/" + std::to_string(static_cast<int>(args[0])), list);
}

void Tracee::capture_exit(const wire::plan& plan, const Arguments& args, std::int64_t result,
                          CaptureList& list) const {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (result >= 0 && (plan.exit_mask >> i & 1U) != 0)
      capture_argument(plan, i, args, result, list);
    if (result < 0 && (plan.flags & wire::plan_base_failed) != 0 && (plan.base_mask >> i & 1U) != 0)
      capture_base(plan, i, args, list);
  }
  if (result >= 0 && (plan.flags & wire::plan_returns_file) != 0)
    capture_file(result_argument, "fd/" + std::to_string(result), list);
  if (result == 0 && (plan.flags & wire::plan_new_directory) != 0) capture_directory(list);
  if (result >= 0 && (plan.flags & wire::plan_peer_of_result) != 0)
    capture_peer(result_argument, static_cast<int>(result), list);
  if (result >= 0 && (plan.flags & wire::plan_socket_peer) != 0)
    capture_peer(0, static_cast<int>(args[0]), list);
}

void Tracee::capture_peer(std::size_t argument, int fd, CaptureList& list) const {
  constexpr unsigned of_thread = O_EXCL;  // PIDFD_THREAD, from Linux 6.9 on
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, tid_, of_thread)));
  if (!process) {
    // The thread group has the same descriptors, except where a thread was made without
    // CLONE_FILES.
    const Result<ThreadFacts> facts = read_thread_facts(tid_);
    if (facts) process.reset(static_cast<int>(syscall(SYS_pidfd_open, facts->pid, 0)));
  }
  const UniqueFd socket(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
  sockaddr_storage peer{};
  socklen_t length = sizeof(peer);
  if (!socket || getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &length) != 0 ||
      length <= sizeof(sa_family_t))
    return;
  Capture capture = of_kind(argument, static_cast<std::uint8_t>(CaptureKind::socket_peer));
  capture.provenance = Provenance::kernel;
  list.add(capture, std::string(reinterpret_cast<const char*>(&peer), length));
}

void Tracee::capture_directory(CaptureList& list) const {
  std::string directory = proc_.target_inside(tid_, "cwd");
  if (directory.empty()) return;
  Capture capture = of_kind(0, static_cast<std::uint8_t>(CaptureKind::absolute_path));
  capture.provenance = Provenance::kernel;
  list.add(capture, std::move(directory));
}

namespace {

// The file system that the kernel keeps for memfd_create() alone.
dev_t device_of_memory_files() {
  static const dev_t device = [] {
    const UniqueFd file(memfd_create("", MFD_CLOEXEC));
    struct stat about {};
    return file && fstat(file.get(), &about) == 0 ? about.st_dev : dev_t{0};
  }();
  return device;
}

// As the kernel itself has it: /proc puts a slash before the name and says that it is deleted.
std::string without_proc_words(std::string name, dev_t device) {
  constexpr std::string_view before = "/memfd:";
  constexpr std::string_view after = " (deleted)";
  if (device == 0 || device != device_of_memory_files() || !name.starts_with(before) ||
      !name.ends_with(after))
    return name;
  return name.substr(1, name.size() - 1 - after.size());
}

}  // namespace

void Tracee::capture_file(std::size_t argument, const std::string& link, CaptureList& list,
                          std::uint32_t descriptor) const {
  const std::optional<struct stat> about = proc_.status(tid_, link);
  if (!about) return;
  FileIdentity identity{};
  identity.inode = about->st_ino;
  identity.device_major = major(about->st_dev);
  identity.device_minor = minor(about->st_dev);
  identity.mode = about->st_mode;
  identity.descriptor = descriptor;
  std::string bytes(sizeof(identity), '\0');
  std::memcpy(bytes.data(), &identity, sizeof(identity));
  bytes += without_proc_words(proc_.target_inside(tid_, link), about->st_dev);
  Capture capture = of_kind(argument, static_cast<std::uint8_t>(CaptureKind::file_identity));
  capture.provenance = Provenance::kernel;
  list.add(capture, std::move(bytes));
}

}  // namespace gyges::recorder
