#include "sandbox/init/memory_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gyges::init {
namespace {

constexpr std::uint64_t page = 4096;

struct Holder {
  pid_t pid = 0;
  std::uint64_t size = 0;      // of the address space
  std::uint64_t own = 0;       // anonymous, and swapped out
  std::uint64_t shared = 0;    // mapped of what lies in shared memory
  std::uint64_t in_files = 0;  // memory files that it holds open
};

constexpr std::uint32_t most_holders = 4096;
Holder holders[most_holders];
std::uint32_t holder_count = 0;

// Memory files, each counted once.
constexpr std::uint32_t most_files = 1024;  // a power of two
std::uint64_t seen_files[most_files];
constexpr std::uint32_t most_descriptors = 20000;  // looked at in one scan: 30 ms

std::uint64_t files_total = 0;     // of the last scan
std::uint64_t shared_at_scan = 0;  // of the machine
std::uint64_t allowed_total = 0;   // that a close look has found to be within the limit
std::uint32_t looks_since = 0;     // that close look

class Path {
 public:
  explicit Path(const char* begin) { add(begin); }
  Path& add(const char* text) {
    while (*text != '\0' && length_ < sizeof(bytes_) - 1) bytes_[length_++] = *text++;
    bytes_[length_] = '\0';
    return *this;
  }
  Path& add(pid_t number) {
    char digits[12];
    int count = 0;
    do digits[count++] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0 && length_ < sizeof(bytes_) - 1) bytes_[length_++] = digits[--count];
    bytes_[length_] = '\0';
    return *this;
  }
  [[nodiscard]] const char* text() const { return bytes_; }

 private:
  char bytes_[320];
  std::size_t length_ = 0;
};

pid_t number_of(const char* name) {
  pid_t number = 0;
  for (; *name != '\0'; ++name) {
    if (*name < '0' || *name > '9') return 0;
    number = number * 10 + (*name - '0');
  }
  return number;
}

// false: gone, or not to be read.
bool read_text(const char* path, char* into, std::size_t size) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  std::size_t length = 0;
  while (length < size - 1) {
    const ssize_t n = ::read(fd, into + length, size - 1 - length);
    if (n <= 0) break;
    length += static_cast<std::size_t>(n);
  }
  ::close(fd);
  into[length] = '\0';
  return length > 0;
}

// Of lines "Key:   123 kB". A name in /proc/PID/status can hold no line of its own: the kernel
// escapes what ends one.
bool find_bytes(const char* text, const char* key, std::uint64_t& bytes) {
  const std::size_t length = std::strlen(key);
  for (const char* line = text; line != nullptr && *line != '\0';) {
    if (std::strncmp(line, key, length) == 0) {
      const char* at = line + length;
      while (*at == ' ' || *at == '\t') ++at;
      bytes = 0;
      for (; *at >= '0' && *at <= '9'; ++at)
        bytes = bytes * 10 + static_cast<std::uint64_t>(*at - '0');
      bytes *= 1024;
      return true;
    }
    line = std::strchr(line, '\n');
    if (line != nullptr) ++line;
  }
  return false;
}

std::uint64_t bytes_of(const char* text, const char* key) {
  std::uint64_t bytes = 0;
  return find_bytes(text, key, bytes) ? bytes : 0;
}

void list_processes() {
  holder_count = 0;
  DIR* directory = ::opendir("/proc");
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    const pid_t pid = number_of(entry->d_name);
    if (pid > 1 && holder_count < most_holders) {
      holders[holder_count] = {};
      holders[holder_count++].pid = pid;
    }
  }
  ::closedir(directory);
}

void look_from_afar(Holder& holder) {
  char text[4096];
  if (!read_text(Path("/proc/").add(holder.pid).add("/status").text(), text, sizeof(text))) return;
  holder.size = bytes_of(text, "VmSize:");
  holder.own = bytes_of(text, "RssAnon:") + bytes_of(text, "VmSwap:");
  holder.shared = bytes_of(text, "RssShmem:");
}

// What it shares with others is divided among them. What cannot be read stays as it was seen.
void look_closely(Holder& holder) {
  char text[2048];
  std::uint64_t own = 0;
  std::uint64_t shared = 0;
  if (!read_text(Path("/proc/").add(holder.pid).add("/smaps_rollup").text(), text, sizeof(text)) ||
      !find_bytes(text, "Pss_Anon:", own) || !find_bytes(text, "Pss_Shmem:", shared))
    return;
  holder.own = own + bytes_of(text, "SwapPss:");
  holder.shared = shared;
}

// One address space may have several processes, as between vfork(2) and execve(2).
bool shares_memory_of_earlier(std::uint32_t index) {
  for (std::uint32_t i = 0; i < index; ++i)
    if (holders[i].size == holders[index].size &&
        ::syscall(SYS_kcmp, holders[i].pid, holders[index].pid, KCMP_VM, 0, 0) == 0)
      return true;
  return false;
}

bool first_time(std::uint64_t inode) {
  std::uint32_t at = static_cast<std::uint32_t>(inode) & (most_files - 1);
  for (std::uint32_t tries = 0; tries < most_files; ++tries, at = (at + 1) & (most_files - 1)) {
    if (seen_files[at] == inode) return false;
    if (seen_files[at] != 0) continue;
    seen_files[at] = inode;
    return true;
  }
  return true;
}

// The file system of memory files; 0: unknown.
dev_t device_of_memory_files() {
  static dev_t device = 0;
  if (device != 0) return device;
  const int fd = static_cast<int>(::syscall(SYS_memfd_create, "", 1UL /* MFD_CLOEXEC */));
  struct stat info {};
  if (fd >= 0 && ::fstat(fd, &info) == 0) device = info.st_dev;
  if (fd >= 0) ::close(fd);
  return device;
}

void scan_files() {
  const dev_t device = device_of_memory_files();
  std::memset(seen_files, 0, sizeof(seen_files));
  files_total = 0;
  std::uint32_t looked_at = 0;
  for (std::uint32_t i = 0; i < holder_count && looked_at < most_descriptors; ++i) {
    Path place("/proc/");
    place.add(holders[i].pid).add("/fd");
    DIR* directory = ::opendir(place.text());
    if (directory == nullptr) continue;
    while (const dirent* entry = ::readdir(directory)) {
      struct stat info {};
      Path file(place.text());
      file.add("/").add(entry->d_name);
      if (++looked_at >= most_descriptors) break;
      if (::stat(file.text(), &info) != 0 || info.st_dev != device) continue;
      const std::uint64_t bytes = static_cast<std::uint64_t>(info.st_blocks) * 512;
      holders[i].in_files += bytes;
      if (first_time(info.st_ino)) files_total += bytes;
    }
    ::closedir(directory);
  }
}

// When shared memory of the whole machine has changed by an eighth of the limit: one call tells.
bool worth_a_scan(std::uint64_t most) {
  struct sysinfo info {};
  if (::syscall(SYS_sysinfo, &info) != 0) return true;
  const std::uint64_t now = info.sharedram * info.mem_unit;
  const std::uint64_t moved = now > shared_at_scan ? now - shared_at_scan : shared_at_scan - now;
  if (moved < most / 8 && files_total < most / 2) return false;
  shared_at_scan = now;
  return true;
}

std::uint64_t in_segments() {
  struct shm_info info {};
  if (::syscall(SYS_shmctl, 0, SHM_INFO, &info) < 0) return 0;
  return (info.shm_rss + info.shm_swp) * page;
}

// Those that no process has, which the end of none would free.
void remove_lone_segments() {
  struct shm_info info {};
  const long last = ::syscall(SYS_shmctl, 0, SHM_INFO, &info);
  for (long i = 0; i <= last; ++i) {
    struct shmid_ds segment {};
    const long id = ::syscall(SYS_shmctl, i, SHM_STAT, &segment);
    if (id >= 0 && segment.shm_nattch == 0) ::syscall(SYS_shmctl, id, IPC_RMID, nullptr);
  }
}

std::uint64_t held_together(std::uint64_t unmapped) {
  std::uint64_t own = 0;
  std::uint64_t shared = 0;
  for (std::uint32_t i = 0; i < holder_count; ++i) {
    own += holders[i].own;
    shared += holders[i].shared;
  }
  return own + (shared > unmapped ? shared : unmapped);
}

std::uint64_t held_by(const Holder& holder) {
  return holder.own + (holder.shared > holder.in_files ? holder.shared : holder.in_files);
}

}  // namespace

std::uint32_t look_at_memory(std::uint64_t most) {
  list_processes();
  for (std::uint32_t i = 0; i < holder_count; ++i) look_from_afar(holders[i]);
  if (worth_a_scan(most)) scan_files();
  const std::uint64_t segments = in_segments();
  const std::uint64_t from_afar = held_together(segments + files_total);
  if (from_afar <= most) {
    allowed_total = 0;
    return 0;
  }
  // A close look reads the page tables of everybody. Where many share much it is taken again when
  // the sum has grown, or after two seconds.
  if (allowed_total != 0 && from_afar < allowed_total + most / 8 && ++looks_since < 10) return 0;
  for (std::uint32_t i = 0; i < holder_count; ++i) look_closely(holders[i]);
  for (std::uint32_t i = 1; i < holder_count; ++i)
    if (shares_memory_of_earlier(i)) holders[i].own = holders[i].shared = 0;
  allowed_total = from_afar;
  looks_since = 0;
  std::uint64_t together = held_together(segments + files_total);
  if (together <= most) return 0;
  allowed_total = 0;
  if (segments > most / 2) remove_lone_segments();
  std::uint32_t killed = 0;
  while (together > most) {
    Holder* largest = nullptr;
    for (std::uint32_t i = 0; i < holder_count; ++i)
      if (holders[i].pid != 0 && (largest == nullptr || held_by(holders[i]) > held_by(*largest)))
        largest = &holders[i];
    if (largest == nullptr) break;
    if (::kill(largest->pid, SIGKILL) == 0) ++killed;
    together -= held_by(*largest) < together ? held_by(*largest) : together;
    largest->pid = 0;
  }
  return killed;
}

}  // namespace gyges::init
