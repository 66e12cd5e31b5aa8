#include "sandbox/learn/observation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/learn/memory_use.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::learn {
namespace {

using nlohmann::json;
using recorder::Capture;
using recorder::CaptureKind;
using recorder::Event;
using recorder::EventKind;
using recorder::ResolvedPath;
using recorder::SyscallClass;
using recorder::SyscallSpec;
using recorder::Verdict;

constexpr std::size_t most_paths = 200000;
constexpr std::size_t most_files = 100000;  // whose sizes are followed
constexpr std::uint64_t tmpfile_bit = 020000000;

const Capture* capture_of(const Event& event, CaptureKind kind) {
  for (const Capture& capture : event.captures)
    if (capture.kind == kind && capture.provenance != recorder::Provenance::missing)
      return &capture;
  return nullptr;
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Flags of a call that opens a file.
std::uint64_t open_flags(const Event& event, std::string_view name) {
  if (name == "open") return event.args[1];
  if (name == "openat") return event.args[2];
  if (name == "creat") return O_CREAT | O_WRONLY | O_TRUNC;
  if (name != "openat2") return 0;
  std::uint64_t flags = 0;
  if (const Capture* how = capture_of(event, CaptureKind::structure_in);
      how != nullptr && how->bytes.size() >= sizeof(flags))
    std::memcpy(&flags, how->bytes.data(), sizeof(flags));
  return flags;
}

class Observer {
 public:
  explicit Observer(Observation& into) : into_(into) {}

  bool take(const Event& event) {
    std::string name = event.kind == EventKind::syscall
                           ? recorder::syscall_name(event.abi, event.number)
                           : std::string();
    std::vector<ResolvedPath> paths = resolver_.paths_of(event);
    memory_.take(event, name);
    if (event.kind == EventKind::process_start) {
      into_.peak.tasks = std::max(into_.peak.tasks, ++tasks_);
    } else if (event.kind == EventKind::process_exit) {
      tasks_ -= tasks_ > 1 ? 1 : 0;
    } else if (event.kind == EventKind::process_exec) {
      first_exec(event);
      // What the kernel loaded in the end: of a script its interpreter.
      for (const ResolvedPath& path : paths)
        if (path.absolute && path.argument != 0) use(path.path).executed = true;
    } else if (event.kind == EventKind::syscall) {
      call(event, name, paths);
    }
    return true;
  }

  void finish() {
    into_.peak.process_data = memory_.process_peak();
    into_.peak.data = memory_.total_peak();
    if (into_.paths.size() >= most_paths)
      into_.gaps.push_back(fmt::format("paths past the first {} are not looked at", most_paths));
  }

 private:
  PathUse& use(const std::string& path) {
    if (into_.paths.size() >= most_paths && into_.paths.count(path) == 0) return past_bound_;
    return into_.paths[path];
  }

  void first_exec(const Event& event) {
    if (!into_.directory.empty()) return;
    if (const Capture* directory = capture_of(event, CaptureKind::absolute_path);
        directory != nullptr && directory->bytes.starts_with('/'))
      into_.directory = std::string(directory->bytes);
  }

  void first_environment(const Event& event) {
    if (environment_seen_) return;
    environment_seen_ = true;
    const Capture* list = capture_of(event, CaptureKind::envp);
    into_.environment_known = list != nullptr && !list->truncated;
    if (list == nullptr) return;
    for (const std::string& entry : split(std::string(list->bytes), '\0'))
      if (auto equals = entry.find('='); equals != std::string::npos && equals > 0)
        into_.environment.insert(entry.substr(0, equals));
  }

  void call(const Event& event, const std::string& name, const std::vector<ResolvedPath>& paths) {
    if (event.abi != recorder::Abi::x86_64) {
      ++into_.refused_calls[name + " (foreign ABI)"];
      return;
    }
    if (name == "execve") first_environment(event);
    if (event.verdict == Verdict::refused || event.verdict == Verdict::killed) {
      refused(event, name);
      return;
    }
    into_.calls.insert(name);
    if (is_one_of(name, {"socket", "socketpair"}))
      into_.socket_families.insert(static_cast<int>(event.args[0]));
    if (event.has_exit && event.result < 0) {
      failed(event, paths);
      return;
    }
    succeeded(event, name, paths);
  }

  void refused(const Event& event, const std::string& name) {
    if (is_one_of(name, {"socket", "socketpair"}) && event.result == -EAFNOSUPPORT)
      into_.refused_families.insert(static_cast<int>(event.args[0]));
    else
      ++into_.refused_calls[name];
  }

  void failed(const Event& event, const std::vector<ResolvedPath>& paths) {
    auto code = static_cast<int>(-event.result);
    for (const ResolvedPath& path : paths) {
      if (!path.absolute) continue;
      if (code == ENOENT && into_.absent.size() < most_paths) into_.absent.insert(path.path);
      if ((code == EACCES || code == EPERM || code == EROFS) &&
          into_.refused_paths.size() < most_paths)
        into_.refused_paths[path.path] = code;
    }
  }

  void succeeded(const Event& event, const std::string& name,
                 const std::vector<ResolvedPath>& paths) {
    std::uint64_t flags = open_flags(event, name);
    bool opens_to_write =
        (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC | tmpfile_bit)) != 0;
    bool lists = is_one_of(name, {"getdents64", "getdents"});
    bool executes = is_one_of(name, {"execve", "execveat"});
    auto mark = [&](const std::string& path, bool mutation) {
      PathUse& known = use(path);
      known.written |= mutation || opens_to_write;
      known.listed |= lists;
      known.executed |= executes;
    };
    for (const ResolvedPath& path : paths)
      if (path.absolute) mark(path.path, path.mutation);
    // The path as the program wrote it leads over links that the kernel's name does not show.
    for (const Capture& capture : event.captures)
      if (capture.kind == CaptureKind::path && capture.bytes.starts_with('/') && !capture.truncated)
        mark(recorder::join_path({}, capture.bytes), false);
    const SyscallSpec* spec = recorder::find_syscall(event.abi, event.number);
    if (spec != nullptr && spec->returns_fd() && event.result >= 0)
      into_.peak.descriptors =
          std::max(into_.peak.descriptors, static_cast<std::uint64_t>(event.result) + 1);
    if ((flags & (O_CREAT | tmpfile_bit)) != 0 ||
        is_one_of(name, {"mkdir", "mkdirat", "symlink", "symlinkat", "link", "linkat", "mknod",
                         "mknodat"}))
      ++into_.peak.files_made;
    written_bytes(event, name);
  }

  void written_bytes(const Event& event, const std::string& name) {
    auto result = static_cast<std::uint64_t>(event.result);
    auto fd = static_cast<std::int32_t>(event.args[0]);
    bool at_offset = is_one_of(name, {"pwrite64", "pwritev", "pwritev2"});
    if (is_one_of(name, {"ftruncate", "truncate", "fallocate"})) {
      std::uint64_t end = name == "fallocate" ? event.args[2] + event.args[3] : event.args[1];
      into_.peak.largest_file = std::max(into_.peak.largest_file, end);
      if (name == "fallocate") into_.peak.written += event.args[3];
      return;
    }
    if (is_one_of(name, {"copy_file_range", "sendfile", "splice"})) {
      into_.peak.written += result;
      into_.peak.largest_file = std::max(into_.peak.largest_file, result);
      return;
    }
    if (!at_offset && !is_one_of(name, {"write", "writev"})) return;
    std::string_view path = resolver_.descriptor(event.pid, fd, event.tid);
    if (!path.starts_with('/') || path.starts_with("/dev/") || path.starts_with("/proc/")) {
      if (fd == 1 || fd == 2) into_.peak.output += result;
      return;
    }
    into_.peak.written += result;
    std::uint64_t end = result + (at_offset ? event.args[3] : 0);
    if (!at_offset && (sizes_.size() < most_files || sizes_.count(std::string(path)) > 0))
      end = sizes_[std::string(path)] += result;
    into_.peak.largest_file = std::max(into_.peak.largest_file, end);
  }

  Observation& into_;
  recorder::PathResolver resolver_;
  MemoryUse memory_;
  std::uint64_t tasks_ = 1;
  bool environment_seen_ = false;
  std::map<std::string, std::uint64_t> sizes_;  // bytes written in sequence, by path
  PathUse past_bound_;
};

Status read_run_record(const std::filesystem::path& bundle, Observation& into) {
  GYGES_TRY(json run, load_json(bundle / "run.json", "run"));
  into.policy = run.at("policy").at("name").get<std::string>();
  if (run.at("persona").is_object()) into.persona = run.at("persona").value("name", "");
  if (run.contains("command") && run.at("command").is_array())
    for (const json& argument : run.at("command")) into.argv.push_back(argument.get<std::string>());
  into.peak.milliseconds = run.at("duration_ms").get<std::uint64_t>();
  for (const json& hit : run.at("limits_hit"))
    into.gaps.push_back(
        fmt::format("the run hit its limit {}: what it would have used beyond is "
                    "not known",
                    printable(hit.at("limit").get<std::string>())));
  return ok();
}

}  // namespace

Result<Observation> observe_run(const std::filesystem::path& bundle) {
  Observation observation;
  GYGES_CHECK(read_run_record(bundle, observation));
  auto reader = recorder::TraceReader::open(bundle / "trace.gyt");
  if (!reader) {
    if (reader.error().cure.empty())
      reader.error().cure = "record the run: gyges run --recorder auto";
    return tl::unexpected<Error>(std::move(reader.error()));
  }
  Observer observer(observation);
  GYGES_CHECK(reader->for_each([&](const Event& event) { return observer.take(event); }));
  observer.finish();
  if (!reader->coverage() || !reader->coverage()->complete)
    observation.gaps.emplace_back("the record is incomplete; see the run's coverage statement");
  return observation;
}

}  // namespace gyges::learn
