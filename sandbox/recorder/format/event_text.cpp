#include "sandbox/recorder/format/event_text.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <csignal>

#include "base/text.h"
#include "sandbox/recorder/format/argument_choices.h"
#include "sandbox/recorder/format/flag_sets.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/structure_text.h"

namespace gyges::recorder {
namespace {

constexpr std::int64_t max_errno = 4095;

constexpr std::array<std::string_view, 12> kind_names = {"",
                                                         "syscall",
                                                         "process_start",
                                                         "process_exec",
                                                         "process_exit",
                                                         "signal",
                                                         "tool_call_start",
                                                         "tool_call_end",
                                                         "recorder_wait",
                                                         "io_uring",
                                                         "path_disagreement",
                                                         "content"};
constexpr std::array<std::string_view, 3> abi_names = {"x86_64", "i386", "x32"};
constexpr std::array<std::string_view, 4> verdict_names = {"allowed", "refused", "emulated",
                                                           "killed"};
constexpr std::array<std::string_view, 5> provenance_names = {"enter", "exit_retry", "kernel",
                                                              "missing", "exit"};

template <std::size_t N>
std::string_view name_at(const std::array<std::string_view, N>& names, std::size_t index) {
  return index < N ? names[index] : std::string_view("unknown");
}

// How many arguments are worth showing: the mode of an open that creates nothing is noise.
std::size_t shown_arguments(const Event& event, const SyscallSpec& spec) {
  std::size_t count = spec.argument_count;
  if (count >= 2 && spec.arguments[count - 1].kind == ArgumentKind::mode &&
      spec.arguments[count - 2].set == "open" &&
      (event.args[count - 2] & (O_CREAT | 020000000)) == 0)
    --count;
  if (spec.name == "mq_open" && (event.args[1] & O_CREAT) == 0) count = 2;
  for (std::size_t i = 0; i < count; ++i)
    if (spec.arguments[i].choice != 0 &&
        chosen_argument(event.abi, spec, event.args, i).kind == ArgumentKind::none)
      return i;
  return count;
}

std::string call_text(const Event& event, const SyscallSpec* spec, const PathResolver* names) {
  std::string text = syscall_name(event.abi, event.number) + "(";
  std::size_t count = spec != nullptr ? shown_arguments(event, *spec) : event.args.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += ", ";
    text += spec != nullptr ? argument_text(event, *spec, i, names)
                            : fmt::format("{:#x}", event.args[i]);
  }
  text += ")";
  if (event.abi != Abi::x86_64) text += fmt::format(" [{}]", abi_name(event.abi));
  return text;
}

std::string result_text(const Event& event, const SyscallSpec* spec, const PathResolver* names) {
  if (!event.has_exit) return "?";
  if (event.result < 0 && event.result >= -max_errno) {
    std::string_view name = errno_name(-event.result);
    if (name.empty()) return fmt::format("{}", event.result);
    bool restarted = event.result <= -512;  // the program never sees this value
    return fmt::format("{} {} ({})", restarted ? "?" : "-1", name, errno_message(-event.result));
  }
  ArgumentKind kind = spec != nullptr ? spec->result : ArgumentKind::number;
  if (spec != nullptr && spec->name.starts_with("fcntl")) {
    if (event.args[1] == F_GETFL)
      return fmt::format("{:#x} (flags {})", event.result,
                         flag_text("open", static_cast<std::uint64_t>(event.result)));
    if (event.args[1] == F_GETFD && event.result == FD_CLOEXEC) return "0x1 (flags FD_CLOEXEC)";
    if (event.args[1] == F_DUPFD || event.args[1] == F_DUPFD_CLOEXEC) kind = ArgumentKind::fd;
  }
  switch (kind) {
    case ArgumentKind::fd:
      return descriptor_text(event, result_argument, static_cast<std::int32_t>(event.result),
                             names);
    case ArgumentKind::pointer:
    case ArgumentKind::hex:
      return fmt::format("{:#x}", static_cast<std::uint64_t>(event.result));
    case ArgumentKind::mode:
      return fmt::format("{:#o}", static_cast<std::uint64_t>(event.result));
    default:
      return fmt::format("{}", event.result);
  }
}

std::string_view verdict_note(Verdict verdict) {
  switch (verdict) {
    case Verdict::refused:
      return " [refused by filter]";
    case Verdict::emulated:
      return " [answered by supervisor]";
    case Verdict::killed:
      return " [killed at this call]";
    case Verdict::allowed:
      break;
  }
  return "";
}

std::string exec_text(const Event& event) {
  std::string text = "+++ exec";
  for (const Capture& capture : event.captures) {
    if (capture.kind == CaptureKind::file_identity && capture.bytes.size() > sizeof(FileIdentity))
      text += " " + quoted(capture.bytes.substr(sizeof(FileIdentity)));
    if (capture.kind == CaptureKind::path) text += " " + quoted(capture.bytes);
    if (capture.kind == CaptureKind::argv) {
      std::string_view rest = capture.bytes;
      while (!rest.empty()) {
        std::size_t end = std::min(rest.find('\0'), rest.size());
        text += " " + quoted(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
  }
  return text + " +++";
}

std::string exit_text(const Event& event) {
  auto status = static_cast<std::uint32_t>(event.result);
  std::uint32_t signal = status & 0x7FU;
  if (signal != 0)
    return fmt::format("+++ killed by {}{} +++", signal_name(signal),
                       (status & 0x80U) != 0 ? " (core dumped)" : "");
  return fmt::format("+++ exited with {} +++", status >> 8U & 0xFFU);
}

// The kernel's own codes, above 0, mean something else with each signal.
std::string_view signal_codes(std::uint64_t signal) {
  switch (signal) {
    case SIGCHLD:
      return "child_code";
    case SIGSEGV:
      return "segv_code";
    case SIGBUS:
      return "bus_code";
    case SIGFPE:
      return "fpe_code";
    case SIGILL:
      return "ill_code";
    case SIGTRAP:
      return "trap_code";
    case SIGSYS:
      return "sys_code";
    case SIGPOLL:
      return "poll_code";
    default:
      return {};
  }
}

std::string signal_text(const Event& event) {
  const auto code = static_cast<std::int32_t>(event.args[1]);
  const bool of_signal = code > 0 && code != 0x80;
  const std::string_view set = of_signal ? signal_codes(event.args[0]) : "si_code";
  return fmt::format("--- {} {{si_code={}}} ---", signal_name(event.args[0]),
                     set.empty() ? fmt::format("{}", code)
                                 : flag_text(set, static_cast<std::uint32_t>(code)));
}

// Its beginning: whoever wants all of it takes it from the export.
std::string content_text(const Event& event) {
  constexpr std::size_t shown = 64;
  std::string bytes = "not readable";
  std::string_view rest;
  for (const Capture& capture : event.captures) {
    if (capture.provenance != Provenance::missing)
      bytes = quoted(capture.bytes.substr(0, shown)) +
              (capture.bytes.size() > shown ? fmt::format("... {} bytes", capture.bytes.size())
                                            : std::string());
    if (capture.truncated) rest = "; the rest is not recorded";
  }
  return fmt::format("... {}({}) from byte {} of {}: {}{}", syscall_name(event.abi, event.number),
                     static_cast<std::int32_t>(event.args[0]), event.args[1], event.args[2], bytes,
                     rest);
}

std::string disagreement_text(const Event& event) {
  std::string asked = "?";
  std::string used = "?";
  for (const Capture& capture : event.captures) {
    if (capture.kind == CaptureKind::path && capture.argument == event.args[0])
      asked = quoted(capture.bytes);
    if (capture.kind == CaptureKind::file_identity && capture.argument == result_argument)
      used = quoted(identity_path(capture));
  }
  return fmt::format("!!! {} was asked for {} and used {} !!!",
                     syscall_name(event.abi, event.number), asked, used);
}

std::string tool_text(const Event& event) {
  for (const Capture& capture : event.captures)
    if (capture.kind == CaptureKind::text) return " " + quoted(capture.bytes);
  return {};
}

}  // namespace

std::string_view event_kind_name(EventKind kind) {
  return name_at(kind_names, static_cast<std::size_t>(kind));
}
std::string_view abi_name(Abi abi) {
  return name_at(abi_names, static_cast<std::size_t>(abi));
}
std::string_view verdict_name(Verdict verdict) {
  return name_at(verdict_names, static_cast<std::size_t>(verdict));
}
std::string_view provenance_name(Provenance provenance) {
  return name_at(provenance_names, static_cast<std::size_t>(provenance));
}

std::string format_event(const Event& event, const PathResolver* names) {
  switch (event.kind) {
    case EventKind::syscall: {
      const SyscallSpec* spec = find_syscall(event.abi, event.number);
      return fmt::format("{} = {}{}", call_text(event, spec, names),
                         result_text(event, spec, names), verdict_note(event.verdict));
    }
    case EventKind::process_start:
      return fmt::format("+++ started task {} {{flags={}}} +++", event.result,
                         flag_text("clone", event.args[0]));
    case EventKind::process_exec:
      return exec_text(event);
    case EventKind::process_exit:
      return exit_text(event);
    case EventKind::signal:
      return signal_text(event);
    case EventKind::tool_call_start:
      return fmt::format("=== tool call {} starts{} ===", tool_call_of(event), tool_text(event));
    case EventKind::tool_call_end:
      return fmt::format("=== tool call {} ends ===", tool_call_of(event));
    case EventKind::recorder_wait:
      if (event.args[0] == 1)  // by a processor quota, see slow_down.h
        return fmt::format(
            "=== slowed down to {} % of a processor for {:.6f} s by the recorder ===",
            event.args[1], static_cast<double>(event.duration_ns) / 1e9);
      return fmt::format("=== held back {:.6f} s by the recorder ===",
                         static_cast<double>(event.duration_ns) / 1e9);
    case EventKind::io_uring:
      return fmt::format("io_uring {}(fd={}, user_data={:#x}) = {}",
                         flag_text("io_uring_op", event.args[0]),
                         static_cast<std::int32_t>(event.args[1]), event.args[2],
                         event.has_exit ? std::to_string(event.result) : "?");
    case EventKind::content:
      return content_text(event);
    case EventKind::path_disagreement:
      return disagreement_text(event);
  }
  return fmt::format("=== event of unknown kind {} ===", static_cast<unsigned>(event.kind));
}

}  // namespace gyges::recorder
