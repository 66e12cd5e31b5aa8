#include "sandbox/recorder/format/event_filter.h"

#include <algorithm>
#include <charconv>

#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/flag_sets.h"

namespace gyges::recorder {
namespace {

bool name_listed(const std::vector<std::string>& names, const Event& event) {
  if (event.kind != EventKind::syscall && event.kind != EventKind::content) return false;
  const SyscallSpec* spec = find_syscall(event.abi, event.number);
  auto is_name = [&](std::string_view name) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& listed) { return listed == name; });
  };
  return spec != nullptr ? is_name(spec->name) : is_name(syscall_name(event.abi, event.number));
}

bool class_listed(const std::vector<SyscallClass>& classes, const Event& event) {
  const SyscallSpec* spec =
      event.kind == EventKind::syscall || event.kind == EventKind::content
          ? find_syscall(event.abi, event.number)
          : nullptr;
  return std::any_of(classes.begin(), classes.end(), [&](SyscallClass cls) {
    if (spec != nullptr) return spec->is(cls);
    switch (event.kind) {
      case EventKind::process_start:
      case EventKind::process_exec:
      case EventKind::process_exit:
        return cls == SyscallClass::process;
      case EventKind::signal:
        return cls == SyscallClass::signal;
      default:
        return false;
    }
  });
}

// "x.log" means any file of that name.
std::string anywhere(const std::string& pattern) {
  return pattern.starts_with('/') || pattern.starts_with("**") ? pattern : "**/" + pattern;
}

bool failed_call(const Event& event) {
  return event.kind == EventKind::syscall && event.has_exit && event.result < 0 &&
         event.result >= -4095;
}

}  // namespace

bool EventFilter::takes(const Event& event, const std::vector<ResolvedPath>& paths,
                        std::string_view executed) const {
  if (since_ns && event.time_ns < *since_ns) return false;
  if (until_ns && event.time_ns > *until_ns) return false;
  if (tool_call && event.active_call != *tool_call && event.origin_call != *tool_call) return false;
  if (pid && event.pid != *pid && event.inside_pid != *pid) return false;
  if (raced && event.kind != EventKind::path_disagreement) return false;
  if (program && !path_matches(anywhere(*program), executed)) return false;
  if (failed && !failed_call(event)) return false;
  if (refused && event.verdict != Verdict::refused && event.verdict != Verdict::killed)
    return false;
  if (!verdicts.empty() &&
      (event.kind != EventKind::syscall ||
       std::find(verdicts.begin(), verdicts.end(), event.verdict) == verdicts.end()))
    return false;
  if (!errors.empty() && (!failed_call(event) ||
                          std::find(errors.begin(), errors.end(), -event.result) == errors.end()))
    return false;
  if (!syscalls.empty() && !name_listed(syscalls, event)) return false;
  if (!classes.empty() && !class_listed(classes, event)) return false;
  if (path) {
    const std::string pattern = anywhere(*path);
    return std::any_of(paths.begin(), paths.end(), [&](const ResolvedPath& resolved) {
      return path_matches(pattern, resolved.path) || (!resolved.absolute && resolved.path == *path);
    });
  }
  return true;
}

BlockQuery EventFilter::block_query() const {
  BlockQuery query;
  const auto add_call = [&query](Abi abi, std::uint32_t number) {
    query.syscalls.push_back(syscall_key(abi, number));
    if (abi == Abi::x86_64)
      for (std::uint32_t x32 : {number, number | x32_bit})
        query.syscalls.push_back(syscall_key(Abi::x32, x32));
  };
  query.since_ns = since_ns;
  query.until_ns = until_ns;
  query.tool_call = tool_call;
  if (pid) query.pids = {*pid};
  query.failed = failed || !errors.empty();
  query.refused = refused;
  for (const std::string& name : syscalls) {
    bool known = false;
    for (Abi abi : {Abi::x86_64, Abi::i386})
      if (const SyscallSpec* spec = find_syscall(abi, name); spec != nullptr) {
        known = true;
        add_call(abi, spec->number);
      }
    if (!known) {  // a bare number, of any ABI
      query.syscalls.clear();
      break;
    }
  }
  // Classes of which only calls are, and not the life of processes or signals too.
  const bool calls_only = std::none_of(classes.begin(), classes.end(), [](SyscallClass cls) {
    return cls == SyscallClass::process || cls == SyscallClass::signal;
  });
  if (syscalls.empty() && !classes.empty() && calls_only)
    for (Abi abi : {Abi::x86_64, Abi::i386})
      for (const SyscallSpec& spec : recorder::syscalls(abi))
        if (std::any_of(classes.begin(), classes.end(),
                        [&](SyscallClass cls) { return spec.is(cls); }))
          add_call(abi, spec.number);
  return query;
}

Result<Verdict> parse_verdict(const std::string& name) {
  for (Verdict verdict : {Verdict::allowed, Verdict::refused, Verdict::emulated, Verdict::killed})
    if (verdict_name(verdict) == name) return verdict;
  return fail("filter events", name, "there is no verdict of that name",
              "use one of allowed, refused, emulated, killed");
}

Result<std::int64_t> parse_error_name(const std::string& name) {
  std::int64_t code = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), code);
  if (error == std::errc{} && end == name.data() + name.size() && code > 0 && code < 4096)
    return code;
  for (code = 1; code < 600; ++code)
    if (errno_name(code) == name) return code;
  return fail("filter events", name, "there is no error of that name",
              "use names as ENOENT or EACCES, or a number from 1 to 4095");
}

Status check_syscall_name(const std::string& name) {
  if (find_syscall(Abi::x86_64, name) != nullptr || find_syscall(Abi::i386, name) != nullptr ||
      name.starts_with("syscall_0x"))
    return ok();
  std::string near;
  std::string_view stem = std::string_view(name).substr(0, 4);
  for (const SyscallSpec& spec : syscalls(Abi::x86_64))
    if (spec.name.starts_with(stem) && near.size() < 120) {
      if (!near.empty()) near += ", ";
      near += spec.name;
    }
  return fail(
      "filter events", name, "there is no system call of that name",
      near.empty() ? std::string("see `gyges trace syscalls`") : "did you mean " + near + "?");
}

Result<SyscallClass> parse_syscall_class(const std::string& name) {
  std::string known;
  for (std::size_t i = 0; i < syscall_class_count; ++i) {
    auto cls = static_cast<SyscallClass>(i);
    if (syscall_class_name(cls) == name) return cls;
    if (i > 0) known += ", ";
    known += syscall_class_name(cls);
  }
  return fail("filter events", name, "there is no class of that name", "use one of " + known);
}

}  // namespace gyges::recorder
