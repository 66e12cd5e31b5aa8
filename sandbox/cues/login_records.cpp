#include "sandbox/cues/login_records.h"

#include <arpa/inet.h>
#include <lastlog.h>
#include <time.h>
#include <utmp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>

#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"

namespace gyges::cues {
namespace {

constexpr std::int64_t kept_days = 31;  // wtmp is rotated every month

struct Session {
  std::int64_t from = 0;
  std::int64_t to = 0;  // 0: still there
  std::string user, host, line;
  int pid = 0;
};

template <std::size_t n>
void put_text(char (&field)[n], const std::string& text) {
  std::memcpy(field, text.data(), std::min(text.size(), n));
}

std::string utmp_record(short type, int pid, const std::string& line, const std::string& id,
                        const std::string& user, const std::string& host, std::int64_t time) {
  struct utmp record {};
  record.ut_type = type;
  record.ut_pid = pid;
  put_text(record.ut_line, line);
  put_text(record.ut_id, id);
  put_text(record.ut_user, user);
  put_text(record.ut_host, host);
  in_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1)
    record.ut_addr_v6[0] = static_cast<std::int32_t>(address.s_addr);
  record.ut_tv.tv_sec = static_cast<std::int32_t>(time);
  record.ut_tv.tv_usec =
      static_cast<std::int32_t>((time * 7919 + std::int64_t{pid} * 104729) % 1000000);
  return {reinterpret_cast<const char*>(&record), sizeof(record)};
}

// "Nov 14 08:12:33" within the year before `day`.
std::optional<std::int64_t> time_of_line(const std::string& line, std::int64_t day) {
  const time_t seconds = day;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  tm found{};
  if (::strptime(line.c_str(), "%b %d %H:%M:%S", &found) == nullptr) return std::nullopt;
  found.tm_year = parts.tm_year;
  std::int64_t time = ::timegm(&found);
  if (time > day + 86400) {
    --found.tm_year;
    time = ::timegm(&found);
  }
  return time;
}

std::string word_after(const std::string& line, const std::string& before) {
  const std::size_t at = line.find(before);
  if (at == std::string::npos) return {};
  const std::size_t start = at + before.size();
  return line.substr(start, line.find(' ', start) - start);
}

std::vector<Session> sessions_by_ssh(const std::vector<isolation::SeedFile>& files,
                                     std::uint64_t seed, std::int64_t day) {
  std::vector<Session> sessions;
  SeededStream stream(seed, "machine/logins");
  for (const isolation::SeedFile& file : files) {
    if (!file.path.starts_with("/var/log/auth.log")) continue;
    for (const std::string& line : split(file.content, '\n')) {
      Session session;
      session.user = word_after(line, "Accepted publickey for ");
      session.host = word_after(line, " from ");
      const auto time = time_of_line(line, day);
      if (session.user.empty() || session.host.empty() || !time) continue;
      session.from = *time;
      session.to = *time + 90 + static_cast<std::int64_t>(stream.below(9000));
      session.pid = std::atoi(word_after(line, "sshd[").c_str());
      session.line = "pts/" + std::to_string(stream.below(10) < 8 ? 0 : 1);
      sessions.push_back(std::move(session));
    }
  }
  return sessions;
}

std::string start_records(std::int64_t time, const std::string& release) {
  return utmp_record(BOOT_TIME, 0, "~", "~~", "reboot", release, time) +
         utmp_record(RUN_LVL, 53, "~", "~~", "runlevel", release, time + 11);
}

isolation::SeedFile record_file(const char* path, std::string content, std::int64_t mtime,
                                unsigned mode) {
  isolation::SeedFile file;
  file.path = path;
  file.content = std::move(content);
  file.mode = mode;
  file.agent_owned = false;
  file.mtime = mtime;
  return file;
}

}  // namespace

std::int64_t start_of_machine(std::uint64_t uptime_seconds) {
  timespec wall{};
  timespec up{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  // To the minute, because clocks are slewed, and files of two runs should not differ by that.
  constexpr std::int64_t minute = 60;
  const std::int64_t host = wall.tv_sec - up.tv_sec;
  return (host - static_cast<std::int64_t>(uptime_seconds) + minute / 2) / minute * minute;
}

void add_login_records(const Persona& persona, std::uint64_t seed, std::int64_t day,
                       std::int64_t started, std::vector<isolation::SeedFile>& files) {
  if (!persona.machine || persona.machine->claims_container != "none") return;
  const std::string& release = persona.machine->kernel_release;
  const bool at_screen =
      std::any_of(persona.machine->daemons.begin(), persona.machine->daemons.end(),
                  [&](const Daemon& daemon) { return daemon.user == persona.user.name; });
  // Who sits at the screen does so by a process that is there: who(1) leaves out the others.
  int leader = 0;
  for (const Daemon& daemon : persona.machine->daemons)
    if (daemon.user == persona.user.name && (leader == 0 || daemon.name.starts_with("gdm-")))
      leader = static_cast<int>(daemon.pid);
  std::vector<Session> sessions = sessions_by_ssh(files, seed, day);
  SeededStream stream(seed, "machine/starts");
  const std::int64_t oldest = day - kept_days * 86400;
  std::vector<std::int64_t> starts{started};
  std::vector<std::int64_t> stops;
  if (at_screen) {
    // A machine of one person: started every few days, who then sits at it.
    for (std::int64_t at = started; at > oldest;)
      starts.push_back(at -= 86400 * stream.between(1, 5) + stream.between(-9000, 9000));
    for (std::size_t i = 0; i < starts.size(); ++i) {
      Session session{starts[i] + 41 + static_cast<std::int64_t>(stream.below(40)),
                      0,
                      persona.user.name,
                      "tty2",
                      "tty2",
                      1890 + static_cast<int>(stream.below(90))};
      if (i == 0) session.pid = leader;
      if (i > 0) session.to = starts[i - 1] - 3600 * stream.between(2, 14);
      if (i > 0) session.to = std::max(session.to, session.from + 600);
      if (i > 0) stops.push_back(session.to + 25);
      sessions.push_back(std::move(session));
    }
  }
  struct Timed {
    std::int64_t time;
    std::string bytes;
  };
  std::vector<Timed> history;
  std::map<std::uint32_t, const Session*> last;
  for (const std::int64_t start : starts)
    if (start >= oldest) history.push_back({start, start_records(start, release)});
  for (const std::int64_t stop : stops)
    if (stop >= oldest)
      history.push_back({stop, utmp_record(RUN_LVL, 0, "~", "~~", "shutdown", release, stop)});
  for (const Session& session : sessions) {
    if (session.from < oldest || session.from > day + 86400) continue;
    const std::string id = session.line == "tty2" ? "2" : "ts/" + session.line.substr(4);
    history.push_back({session.from, utmp_record(USER_PROCESS, session.pid, session.line, id,
                                                 session.user, session.host, session.from)});
    if (session.to > 0)
      history.push_back({session.to, utmp_record(DEAD_PROCESS, session.pid, session.line, "", "",
                                                 "", session.to)});
  }
  std::stable_sort(history.begin(), history.end(),
                   [](const Timed& a, const Timed& b) { return a.time < b.time; });
  std::string wtmp;
  std::int64_t newest = oldest;
  for (const Timed& record : history) {
    wtmp += record.bytes;
    newest = record.time;
  }
  for (const Session& session : sessions)
    for (const Account& account : persona.accounts)
      if (account.name == session.user && account.uid < 60000) {
        const Session*& known = last[account.uid];
        if (known == nullptr || known->from < session.from) known = &session;
      }
  for (const Session& session : sessions)
    if (session.user == persona.user.name) {
      const Session*& known = last[persona.user.uid];
      if (known == nullptr || known->from < session.from) known = &session;
    }
  // A record for every number of a user up to the last: a third of a megabyte, nearly all holes.
  isolation::SeedFile lastlog = record_file("/var/log/lastlog", "", newest, 0664);
  for (const auto& [uid, session] : last) {
    struct lastlog record {};
    record.ll_time = static_cast<std::int32_t>(session->from);
    put_text(record.ll_line, session->line);
    put_text(record.ll_host, session->host == session->line ? "" : session->host);
    lastlog.pieces.push_back(
        {uid * sizeof(record), {reinterpret_cast<const char*>(&record), sizeof(record)}});
  }
  std::string now = start_records(started, release);
  for (const Daemon& daemon : persona.machine->daemons)
    if (!at_screen && daemon.name == "agetty")
      now += utmp_record(LOGIN_PROCESS, static_cast<pid_t>(daemon.pid), "tty1", "tty1", "LOGIN", "",
                         started + 12);
  for (const Session& session : sessions)
    if (session.to == 0)
      now += utmp_record(USER_PROCESS, session.pid, session.line, "2", session.user, session.host,
                         session.from);
  // The old name, by which the C library opens it.
  const bool linked = std::any_of(files.begin(), files.end(), [](const isolation::SeedFile& file) {
    return file.path == "/var/run";
  });
  if (!linked) {
    isolation::SeedFile link = record_file("/var/run", "/run", started, 0777);
    link.kind = isolation::SeedFile::Kind::symlink;
    files.push_back(std::move(link));
  }
  files.push_back(record_file("/run/utmp", std::move(now), started + 12, 0664));
  files.push_back(record_file("/var/log/wtmp", std::move(wtmp), newest, 0664));
  files.push_back(std::move(lastlog));
  files.push_back(record_file("/var/log/btmp", "", day - 86400 * 27, 0660));
}

}  // namespace gyges::cues
