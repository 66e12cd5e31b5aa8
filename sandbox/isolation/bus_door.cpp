#include "sandbox/isolation/bus_door.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "base/files.h"
#include "base/program_file.h"
#include "base/program_start.h"
#include "base/thread_start.h"

#if defined(GYGES_SYSTEM_BUS)
extern "C" const char gyges_bus_program_begin[];
extern "C" const char gyges_bus_program_end[];
#endif

namespace gyges::isolation {
namespace {

// A responder that fails is started again, but not for ever: what makes it fail may come again and
// again.
constexpr int most_failures = 8;

#if defined(GYGES_SYSTEM_BUS)
Result<StartedProgram> start_responder(const std::vector<UniqueFd>& sockets,
                                       const std::string& document) {
  GYGES_TRY(UniqueFd program,
            make_program_file("bus", {gyges_bus_program_begin,
                                      static_cast<std::size_t>(gyges_bus_program_end -
                                                               gyges_bus_program_begin)}));
  GYGES_TRY(UniqueFd text, make_sealed_memfd("bus", document));
  ::lseek(text.get(), 0, SEEK_SET);
  std::vector<int> descriptors{text.get()};
  for (const UniqueFd& socket : sockets) descriptors.push_back(socket.get());
  GYGES_TRY(StartedProgram started,
            StartedProgram::start({program.get(), {"gyges-bus"}, descriptors, 0}));
  GYGES_CHECK(started.executed("bus"));
  return started;
}
#else
Result<StartedProgram> start_responder(const std::vector<UniqueFd>&, const std::string&) {
  return fail("start responder", "", "this build has none");
}
#endif

}  // namespace

bool has_bus_responder() {
#if defined(GYGES_SYSTEM_BUS)
  return true;
#else
  return false;
#endif
}

Result<std::unique_ptr<BusDoor>> BusDoor::open(std::vector<UniqueFd> sockets, Document document) {
  std::unique_ptr<BusDoor> door(new BusDoor(std::move(sockets), std::move(document)));
  door->wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!door->wake_) return fail_errno("make", "eventfd");
  GYGES_TRY(door->thread_, start_thread("waits for clients of the system bus",
                                        [raw = door.get()] { raw->keep(); }));
  return door;
}

void BusDoor::keep() {
  for (int failures = 0; failures < most_failures;) {
    std::vector<pollfd> wait{{wake_.get(), POLLIN, 0}};
    for (const UniqueFd& socket : sockets_) wait.push_back({socket.get(), POLLIN, 0});
    if (::poll(wait.data(), wait.size(), -1) < 0) continue;
    if (wait[0].revents != 0) return;
    if (!answer()) ++failures;
  }
  // Clients are refused from now on, instead of waiting for nobody.
  sockets_.clear();
}

// One responder's life. False: it did not end of itself for want of clients, or there was none.
bool BusDoor::answer() {
  auto started = start_responder(sockets_, document_());
  if (!started) return false;
  pollfd wait[2] = {{started->pidfd().get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  while (::poll(wait, 2, -1) < 0) {
  }
  if (wait[1].revents != 0)
    ::syscall(SYS_pidfd_send_signal, started->pidfd().get(), SIGKILL, nullptr, 0);
  int status = 0;
  ::waitpid(started->pid(), &status, __WALL);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void BusDoor::begin_close() {
  (void)::eventfd_write(wake_.get(), 1);
}

BusDoor::~BusDoor() {
  if (!thread_.joinable()) return;
  begin_close();
  thread_.join();
}

}  // namespace gyges::isolation
