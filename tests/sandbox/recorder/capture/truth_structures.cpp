// Calls whose arguments point to structures, or mean what another argument says; each once, with
// values that the kernel takes or refuses alike in every run.
#include "truth_structures.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace {

void terminals() {
  const int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  int number = 0;
  int unlock = 0;
  ioctl(master, TIOCSPTLCK, &unlock);
  ioctl(master, TIOCGPTN, &number);
  termios modes{};
  tcgetattr(master, &modes);
  ioctl(master, TCSETS, &modes);
  winsize size{24, 80, 0, 0};
  ioctl(master, TIOCSWINSZ, &size);
  ioctl(master, TIOCGWINSZ, &size);
  int group = 0;
  ioctl(master, TIOCGPGRP, &group);
  int bytes = 0;
  ioctl(master, FIONREAD, &bytes);
  int on = 1;
  ioctl(master, FIONBIO, &on);
  ioctl(master, FIOCLEX);
  ioctl(0, TCGETS, &modes);
  close(master);
}

void descriptors() {
  const int file = open("structures.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 1;
  lock.l_len = 2;
  fcntl(file, F_SETLK, &lock);
  fcntl(file, F_GETLK, &lock);
  lock.l_pid = 0;
  lock.l_type = F_UNLCK;
  fcntl(file, F_OFD_SETLK, &lock);
  f_owner_ex owner{F_OWNER_PID, 1};
  fcntl(file, F_SETOWN_EX, &owner);
  fcntl(file, F_GETOWN_EX, &owner);
  fcntl(file, F_SETFD, FD_CLOEXEC);
  fcntl(file, F_GETFD);
  fcntl(file, F_GETFL);
  fcntl(file, F_SETFL, O_APPEND);
  fcntl(file, F_DUPFD_CLOEXEC, 40);
  fcntl(file, F_SETLEASE, F_UNLCK);
  flock(file, LOCK_EX | LOCK_NB);
  struct stat status {};
  fstat(file, &status);
  struct statx extended {};
  statx(AT_FDCWD, "structures.tmp", AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_SIZE, &extended);
  struct statfs system {};
  fstatfs(file, &system);
  timespec times[2] = {{1, 2}, {3, 4}};
  futimens(file, times);
  fsetxattr(file, "user.a", "b", 1, 0);
  posix_fadvise(file, 0, 0, POSIX_FADV_WILLNEED);
  fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 10);
  renameat2(AT_FDCWD, "nothing", AT_FDCWD, "other", RENAME_NOREPLACE);
  const int memory = memfd_create("m", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  fcntl(memory, F_GET_SEALS);
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return;
  fcntl(ends[0], F_SETPIPE_SZ, 4096);
  pollfd polled[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
  poll(polled, 2, 0);
  timespec zero{};
  ppoll(polled, 1, &zero, nullptr);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{EPOLLIN | EPOLLET, {}};
  event.data.u32 = 7;
  epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], &event);
  event.events = EPOLLOUT;
  epoll_ctl(epoll, EPOLL_CTL_MOD, ends[1], &event);
  epoll_event found[4];
  epoll_wait(epoll, found, 4, 0);
  epoll_ctl(epoll, EPOLL_CTL_DEL, ends[1], nullptr);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[1], &set);
  timeval none{};
  select(ends[1] + 1, nullptr, &set, nullptr, &none);
  const int watcher = inotify_init1(IN_CLOEXEC);
  inotify_add_watch(watcher, ".", IN_CREATE | IN_DELETE | IN_ONLYDIR);
  eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int notes = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY);
  fanotify_mark(notes, FAN_MARK_ADD, FAN_OPEN | FAN_CLOSE_WRITE, AT_FDCWD, ".");
  syscall(SYS_close_range, 60U, 70U, 0U);
  char entries[512];
  const int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  syscall(SYS_getdents64, directory, entries, sizeof(entries));
  unlink("structures.tmp");
}

void times_and_signals() {
  timespec pause{0, 1000};
  nanosleep(&pause, nullptr);
  clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  syscall(SYS_clock_getres, CLOCK_REALTIME, &pause);
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  itimerspec after{{0, 0}, {100, 5}};
  timerfd_settime(timer, 0, &after, nullptr);
  itimerval every{{0, 0}, {50, 0}};
  setitimer(ITIMER_REAL, &every, nullptr);
  every = {};
  setitimer(ITIMER_REAL, &every, nullptr);
  sigevent notice{};
  notice.sigev_notify = SIGEV_SIGNAL;
  notice.sigev_signo = SIGUSR1;
  int number = 0;
  syscall(SYS_timer_create, CLOCK_MONOTONIC, &notice, &number);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  action.sa_flags = SA_RESTART | SA_NODEFER;
  sigaction(SIGUSR2, &action, nullptr);
  char area[8192];
  stack_t stack{area, 0, sizeof(area)};
  sigaltstack(&stack, nullptr);
  kill(getpid(), SIGUSR1);
  timespec none{};
  siginfo_t info{};
  sigtimedwait(&set, &info, &none);
  sigpending(&set);
}

void processes() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  rlimit small{1024 * 1024, RLIM_INFINITY};
  syscall(SYS_setrlimit, RLIMIT_CORE, &small);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  utsname name{};
  uname(&name);
  sched_param parameter{};
  sched_getparam(0, &parameter);
  sched_setscheduler(0, SCHED_OTHER, &parameter);
  getpriority(PRIO_PROCESS, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  syscall(SYS_capget, &header, data);
  prctl(PR_SET_NAME, "renamed");
  char called[16];
  prctl(PR_GET_NAME, called);
  int signal = 0;
  prctl(PR_SET_PDEATHSIG, 0);
  prctl(PR_GET_PDEATHSIG, &signal);
  prctl(PR_SET_DUMPABLE, 1);
  prctl(PR_GET_DUMPABLE);
  prctl(PR_CAPBSET_READ, CAP_NET_ADMIN);
  prctl(PR_GET_SECCOMP);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_TIMERSLACK, 60000);
  prctl(PR_GET_SECUREBITS);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  gid_t groups[2];
  getgroups(0, groups);
  const pid_t child = fork();
  if (child == 0) _exit(3);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  int status = 0;
  wait4(child, &status, WNOHANG, nullptr);
  setpgid(0, 0);
  mount("none", "/nowhere", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m");
  umount2("/nowhere", MNT_DETACH);
  unshare(0);
  sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog program{1, allow};
  syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
  unsigned action = SECCOMP_RET_ERRNO;
  syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  syscall(SYS_kcmp, getpid(), getpid(), 2, 0, 0);
}

void sockets() {
  const int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  int on = 1;
  setsockopt(stream, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(stream, IPPROTO_IP, IP_TTL, &on, sizeof(on));
  linger wait{1, 2};
  setsockopt(stream, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait));
  timeval limit{1, 5};
  setsockopt(stream, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  socklen_t size = sizeof(on);
  getsockopt(stream, SOL_SOCKET, SO_ERROR, &on, &size);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bind(stream, reinterpret_cast<sockaddr*>(&address), 3);  // too short
  sockaddr_in6 wide{};
  wide.sin6_family = AF_INET6;
  wide.sin6_port = htons(9);
  wide.sin6_addr = in6addr_loopback;
  bind(stream, reinterpret_cast<sockaddr*>(&wide), sizeof(wide));  // of another family
  const int six = socket(AF_INET6, SOCK_DGRAM, 0);
  setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  const int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  sockaddr_nl peer{};
  peer.nl_family = AF_NETLINK;
  bind(link, reinterpret_cast<sockaddr*>(&peer), sizeof(peer));
  struct {
    nlmsghdr head;
    rtgenmsg body;
  } request{};
  request.head = {sizeof(request), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0};
  sendto(link, &request, sizeof(request), 0, reinterpret_cast<sockaddr*>(&peer), sizeof(peer));
  char answer[4096];
  iovec part{answer, sizeof(answer)};
  msghdr message{&peer, sizeof(peer), &part, 1, nullptr, 0, 0};
  recvmsg(link, &message, 0);
  shutdown(stream, SHUT_RDWR);
}

void waits() {
  unsigned word = 1;
  timespec soon{0, 1000};
  syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &soon);
  soon = {0, 1000};
  semget(IPC_PRIVATE, 0, IPC_CREAT | 0600);
  const int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  msgctl(queue, IPC_RMID, nullptr);
  const int memory = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  shmctl(memory, IPC_RMID, nullptr);
  const int set = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
  sembuf step{0, 1, IPC_NOWAIT};
  semop(set, &step, 1);
  semctl(set, 0, GETVAL);
  semctl(set, 0, IPC_RMID);
  io_uring_params ring{};
  syscall(SYS_io_uring_setup, 0, &ring);
  syscall(SYS_io_uring_register, -1, IORING_REGISTER_PROBE, nullptr, 0);
  syscall(SYS_io_uring_enter, -1, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
  perf_event_attr event{};
  event.type = PERF_TYPE_SOFTWARE;
  event.size = sizeof(event);
  event.config = 99;  // none of that number
  syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
  bpf_attr map{};
  map.map_type = BPF_MAP_TYPE_ARRAY;
  syscall(SYS_bpf, BPF_MAP_CREATE, &map, 16);
  syscall(SYS_membarrier, 0, 0, 0);
  mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &soon, nullptr, 0);
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 2, nullptr, nullptr,
          FUTEX_BITSET_MATCH_ANY);
  syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 5, &word, 1);
}

}  // namespace

int structures() {
  terminals();
  descriptors();
  times_and_signals();
  sockets();
  waits();
  processes();
  return 0;
}
