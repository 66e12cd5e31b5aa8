#include "sandbox/init/commands.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "sandbox/init/channel.h"
#include "sandbox/init/command_process.h"
#include "sandbox/init/kernel_calls.h"

namespace gyges::init {
namespace {

struct Running {
  std::uint32_t id = 0;
  pid_t pid = 0;  // 0: free
  Place* place = nullptr;
  bool last = false;  // nothing is started after it
};
Running running[max_commands];
std::uint32_t running_count = 0;
bool last_ended = false;
Stand* stands = nullptr;  // one for each of them
Place* places[max_commands];

Running* find(std::uint32_t id) {
  for (Running& entry : running)
    if (entry.pid != 0 && entry.id == id) return &entry;
  return nullptr;
}

Stand& stand_of(const Running& entry) {
  return stands[&entry - running];
}

// Shared also with a process that has memory of its own. Null with errno.
char* shared_memory(std::size_t size) {
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return base == MAP_FAILED ? nullptr : static_cast<char*>(base);
}

constexpr std::size_t page = 4096;
constexpr std::size_t stack_size = 8 * page;  // a process of a command uses two pages

// Nothing said to the process that used it last is for the next one.
int quieten(const Place& place) {
  pollfd said[2] = {{place.reached, POLLIN, 0}, {place.gate, POLLIN, 0}};
  if (::poll(said, 2, 0) < 0) return -1;
  for (const pollfd& one : said) {
    std::uint64_t count = 0;
    if (one.revents != 0 && ::read(one.fd, &count, sizeof(count)) < 0) return -1;
  }
  return 0;
}

// Out of the way of the standard descriptors. -1 with errno.
int make_signal() {
  const int low = ::eventfd(0, EFD_CLOEXEC);
  if (low < 0) return -1;
  const int high = ::fcntl(low, F_DUPFD_CLOEXEC, 10);
  const int code = errno;
  ::close(low);
  errno = code;
  return high;
}

// Above a stack with a page that nobody may touch at its other end. Null with errno.
Place* make_place() {
  constexpr std::size_t size = page + stack_size + sizeof(Place);
  char* base = shared_memory(size);
  if (base == nullptr) return nullptr;
  auto* place = new (base + page + stack_size) Place;
  place->reached = make_signal();
  place->gate = place->reached < 0 ? -1 : make_signal();
  if (place->gate >= 0 && ::mprotect(base, page, PROT_NONE) == 0) return place;
  const int code = errno;
  if (place->gate >= 0) ::close(place->gate);
  if (place->reached >= 0) ::close(place->reached);
  ::munmap(base, size);
  errno = code;
  return nullptr;
}

// One that no process uses. Null with errno.
Place* free_place() {
  for (Place*& place : places) {
    if (place == nullptr) {
      place = make_place();
      if (place != nullptr) place->number = static_cast<std::uint32_t>(&place - places);
      return place;
    }
    if (__atomic_load_n(&place->taken, __ATOMIC_ACQUIRE) != 0) continue;
    return quieten(*place) == 0 ? place : nullptr;
  }
  errno = EAGAIN;
  return nullptr;
}

// Gives back what a payload that had a file of its own took.
void empty(Place& place) {
  Payload& payload = place.payload;
  if (payload.argv != nullptr && payload.argv != place.pointers)
    ::munmap(payload.argv, (payload.header.argc + payload.header.envc + 2UL) * sizeof(char*));
  if (payload.base != nullptr && payload.base != place.text) ::munmap(payload.base, payload.size);
  payload = Payload{};
}

// 0 or an errno value.
int map_file(int fd, Payload& payload) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno;
  if (info.st_size < static_cast<off_t>(sizeof(SpawnHeader)) ||
      info.st_size > static_cast<off_t>(max_payload))
    return E2BIG;
  auto size = static_cast<std::size_t>(info.st_size);
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (base == MAP_FAILED) return errno;
  payload.base = static_cast<char*>(base);
  payload.size = size;
  return 0;
}

// The pointer tables, in the place or in memory of their own.
int make_tables(Place& place) {
  Payload& payload = place.payload;
  std::size_t pointers = payload.header.argc + payload.header.envc + 2UL;
  if (pointers > max_payload / sizeof(char*)) return E2BIG;
  payload.argv = place.pointers;
  if (pointers > sizeof(place.pointers) / sizeof(char*)) {
    void* table = ::mmap(nullptr, pointers * sizeof(char*), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    payload.argv = table == MAP_FAILED ? nullptr : static_cast<char**>(table);
    if (payload.argv == nullptr) return errno;
  }
  payload.envp = payload.argv + payload.header.argc + 1;
  payload.envp[-1] = payload.envp[payload.header.envc] = nullptr;
  return 0;
}

// Puts the command that was received into the place. 0 or an errno value.
int read_payload(const Received& received, Place& place) {
  Payload& payload = place.payload;
  if (received.fds[3] >= 0) {
    if (int code = map_file(received.fds[3], payload)) return code;
  } else {
    if (received.size < sizeof(SpawnHeader)) return EINVAL;
    std::memcpy(place.text, received.payload, received.size);
    payload.base = place.text;
    payload.size = received.size;
  }
  std::memcpy(&payload.header, payload.base, sizeof(SpawnHeader));
  if (int code = make_tables(place)) return code;
  char* at = payload.base + sizeof(SpawnHeader);
  char* end = payload.base + payload.size;
  auto next = [&]() -> char* {
    char* text = at;
    while (at < end && *at != '\0') ++at;
    if (at >= end) return nullptr;
    ++at;
    return text;
  };
  payload.directory = next();
  if (payload.directory == nullptr) return EINVAL;
  for (std::uint32_t i = 0; i < payload.header.argc; ++i)
    if ((payload.argv[i] = next()) == nullptr) return EINVAL;
  for (std::uint32_t i = 0; i < payload.header.envc; ++i)
    if ((payload.envp[i] = next()) == nullptr) return EINVAL;
  return payload.header.argc > 0 ? 0 : EINVAL;
}

void refuse(std::uint32_t id, int code) {
  Reply reply;
  reply.tell = Tell::not_spawned;
  reply.id = id;
  reply.error = code;
  tell(reply);
}

// Waits until the process is at its gate, has given up, or is dead. An agent of its user may stop
// it on its way, over and over: it is woken, and after a while killed, because pid 1 has a wall
// clock to keep.
bool await_gate(const Running& entry, int pidfd) {
  const Stand& stand = stand_of(entry);
  // The end of a process is seen where there is no descriptor for it, too, though later.
  for (int attempt = 0; attempt < 200;) {
    pollfd wait[2] = {{entry.place->reached, POLLIN, 0}, {pidfd, POLLIN, 0}};
    const int ready = ::poll(wait, 2, 10);
    const std::uint32_t state = __atomic_load_n(&stand.state, __ATOMIC_ACQUIRE);
    if (state != Stand::under_way) return state == Stand::at_gate;
    if (ready > 0 && wait[1].revents != 0) return false;
    if (ready == 0) {
      ::kill(entry.pid, SIGCONT);
      ++attempt;
    }
  }
  ::kill(entry.pid, SIGKILL);
  pollfd ended{pidfd, POLLIN, 0};
  ::poll(&ended, 1, 1000);  // it writes to memory that is also pid 1's
  return false;
}

// 0 or an errno value.
int start(const Program& program, const Received& received) {
  Running* entry = nullptr;
  for (Running& candidate : running)
    if (candidate.pid == 0) {
      entry = &candidate;
      break;
    }
  if (entry == nullptr) return EAGAIN;
  if (stands == nullptr)
    stands = reinterpret_cast<Stand*>(shared_memory(max_commands * sizeof(Stand)));
  if (stands == nullptr) return errno;
  Place* place = free_place();
  if (place == nullptr) return errno;
  empty(*place);
  if (int code = read_payload(received, *place)) return code;
  const std::uint32_t id = received.request.id;
  Stand& stand = stand_of(*entry);
  stand = Stand{};
  place->owner = id;
  place->program = &program;
  place->stand = &stand;
  std::memcpy(place->fds, received.fds, sizeof(place->fds));
  place->taken = 1;
  unsigned long sharing = CLONE_VM | CLONE_CHILD_CLEARTID;
  if (program.header->own_memory != 0) sharing = 0;
  pid_t pid = start_on_stack(sharing | SIGCHLD, place, &place->taken, &run_command, place);
  if (pid < 0) {
    place->taken = 0;
    return errno;
  }
  Reply reply;
  reply.tell = Tell::spawned;
  reply.id = id;
  reply.number[0] = static_cast<std::uint64_t>(pid);
  *entry = {id, pid, place, place->payload.header.last != 0};
  ++running_count;
  int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  // Also without a gate: the two use the same memory in turn.
  const bool reached = await_gate(*entry, pidfd);
  reply.number[1] = reached && place->payload.header.gated != 0 ? 1 : 0;
  reply.number[2] = place->number;
  tell(reply, pidfd, place->handed ? -1 : place->gate);
  if (pidfd >= 0) place->handed = true;
  if (pidfd >= 0) ::close(pidfd);
  return 0;
}

std::uint64_t nanoseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1000000000U +
         static_cast<std::uint64_t>(time.tv_usec) * 1000U;
}

}  // namespace

int drop_bounding_set(const ProgramHeader& header) {
  for (int capability = 0; capability <= 63; ++capability) {
    if ((header.keep_capabilities >> static_cast<unsigned>(capability) & 1U) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;  // past the last one this kernel knows
      return -1;
    }
  }
  return 0;
}

void prepare_first_command() {
  if (stands == nullptr)
    stands = reinterpret_cast<Stand*>(shared_memory(max_commands * sizeof(Stand)));
  static_cast<void>(free_place());
}

void spawn(const Program& program, const Received& received) {
  int code = start(program, received);
  if (code != 0) refuse(received.request.id, code);
  for (int fd : received.fds)
    if (fd >= 0) ::close(fd);
}

void signal_command(std::uint32_t id, int signal_number, bool group) {
  if (Running* entry = find(id)) ::kill(group ? -entry->pid : entry->pid, signal_number);
}

void reap(pid_t pid, int status, const rusage& usage) {
  for (Running& entry : running) {
    if (entry.pid != pid) continue;
    Reply reply;
    reply.tell = Tell::ended;
    reply.id = entry.id;
    reply.status = status;
    reply.number[0] = nanoseconds(usage.ru_utime);
    reply.number[1] = nanoseconds(usage.ru_stime);
    reply.number[2] = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024U;
    const Stand& stand = stand_of(entry);
    if (stand.state == Stand::given_up) {
      reply.tell = Tell::not_started;
      reply.error = stand.failure.code;
      reply.number[0] = static_cast<std::uint64_t>(stand.failure.step);
    }
    if (entry.place->owner == entry.id) {
      empty(*entry.place);
      entry.place->taken = 0;
    }
    last_ended |= entry.last;
    entry = Running{};
    --running_count;
    tell(reply);
    return;
  }
}

bool all_is_over() {
  return last_ended && running_count == 0 && ::kill(-1, 0) != 0 && errno == ESRCH;
}

std::uint32_t commands_running() {
  return running_count;
}

}  // namespace gyges::init
