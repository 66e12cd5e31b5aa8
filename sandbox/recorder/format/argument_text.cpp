#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "sandbox/recorder/format/argument_choices.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/flag_sets.h"
#include "sandbox/recorder/format/structure_layouts.h"
#include "sandbox/recorder/format/structure_text.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t max_listed_strings = 64;
constexpr std::size_t no_argument = 255;  // no capture has it

const Capture* find_capture(const Event& event, std::size_t argument,
                            std::initializer_list<CaptureKind> kinds) {
  for (const Capture& capture : event.captures)
    if (capture.argument == argument && capture.provenance != Provenance::missing &&
        std::find(kinds.begin(), kinds.end(), capture.kind) != kinds.end())
      return &capture;
  return nullptr;
}

std::string pointer_text(std::uint64_t value) {
  return value == 0 ? "NULL" : fmt::format("{:#x}", value);
}

// Quoted bytes, with "..." where the object is longer.
std::string content_text(const Capture& capture) {
  bool longer = capture.truncated || capture.full_length > capture.bytes.size();
  return quoted(capture.bytes) + (longer ? "..." : "");
}

std::string strings_text(const Capture& capture) {
  std::string text = "[";
  std::string_view rest = capture.bytes;
  std::size_t count = 0;
  while (!rest.empty() && count < max_listed_strings) {
    std::size_t end = std::min(rest.find('\0'), rest.size());
    if (count++ > 0) text += ", ";
    text += quoted(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  bool more = capture.truncated || !rest.empty();
  return text + (more ? ", ...]" : "]");
}

// Messages to and from the kernel's netlink: the head of each, and what follows as bytes.
std::string netlink_text(const Capture& capture) {
  std::string_view bytes = capture.bytes;
  std::string text = "[";
  while (bytes.size() >= 16) {
    std::uint32_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof(length));
    if (length < 16) break;
    const std::string_view body = bytes.substr(16, length - 16);
    text +=
        fmt::format("{}[{}", text.size() > 1 ? ", " : "", structure_text("nlmsghdr", bytes, 16));
    if (length > 16) text += ", " + quoted(body) + (body.size() < length - 16 ? "..." : "");
    text += "]";
    bytes.remove_prefix(std::min<std::size_t>((length + 3U) & ~std::size_t{3}, bytes.size()));
  }
  if (!bytes.empty() || capture.full_length > capture.bytes.size())
    text += text.size() > 1 ? ", ..." : "...";
  return text + "]";
}

// Whether the message goes to or comes from netlink, by the address in argument `index`.
bool is_netlink(const Event& event, std::size_t index) {
  const Capture* name =
      find_capture(event, index, {CaptureKind::sockaddr_in, CaptureKind::sockaddr_out});
  return name != nullptr && name->bytes.starts_with(std::string_view("\x10\0", 2));
}

std::string message_text(const Event& event, std::size_t index, const PathResolver* names) {
  std::string text;
  auto add = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, value);
  };
  if (const Capture* name =
          find_capture(event, index, {CaptureKind::sockaddr_in, CaptureKind::sockaddr_out}))
    add("msg_name", sockaddr_text(name->bytes));
  if (const Capture* data = find_capture(event, index,
                                         {CaptureKind::iovec_in, CaptureKind::iovec_out,
                                          CaptureKind::buffer_in, CaptureKind::buffer_out}))
    add("msg_iov",
        is_netlink(event, index) ? netlink_text(*data) : "[" + content_text(*data) + "]");
  if (const Capture* control =
          find_capture(event, index, {CaptureKind::structure_in, CaptureKind::structure_out}))
    add("msg_control",
        control_text(control->bytes, control->full_length > control->bytes.size(),
                     [&](std::int32_t fd) {
                       return descriptor_text(event, no_argument, fd, names);
                     }));
  if (text.empty()) return pointer_text(event.args[index]);
  return "{" + text + "}";
}

// Buffers that hold a structure which other arguments choose.
struct DecidedContent {
  std::string_view call;
  std::size_t argument;
  std::size_t decider;
  std::uint64_t value;
  std::size_t second_decider;
  std::uint64_t second_value;
  std::string_view layout;
};
constexpr DecidedContent decided_contents[] = {
    {"landlock_add_rule", 2, 1, 1, 1, 1, "landlock_path"},
    {"landlock_add_rule", 2, 1, 2, 1, 2, "landlock_port"},
    {"bpf", 1, 0, 0, 0, 0, "bpf_map"},
    {"bpf", 1, 0, 1, 0, 1, "bpf_element"},
    {"bpf", 1, 0, 2, 0, 2, "bpf_element"},
    {"bpf", 1, 0, 3, 0, 3, "bpf_element"},
    {"bpf", 1, 0, 4, 0, 4, "bpf_element"},
    {"bpf", 1, 0, 5, 0, 5, "bpf_program"},
    {"bpf", 1, 0, 6, 0, 6, "bpf_object"},
    {"bpf", 1, 0, 7, 0, 7, "bpf_object"},
    {"setsockopt", 3, 1, 1, 2, 13, "linger"},
    {"getsockopt", 3, 1, 1, 2, 13, "linger"},
    {"setsockopt", 3, 1, 1, 2, 20, "timeval"},
    {"getsockopt", 3, 1, 1, 2, 20, "timeval"},
    {"setsockopt", 3, 1, 1, 2, 21, "timeval"},
    {"getsockopt", 3, 1, 1, 2, 21, "timeval"},
    {"getsockopt", 3, 1, 1, 2, 17, "ucred"},
};

std::string content_by_decider(const Event& event, const SyscallSpec& spec, std::size_t index,
                               std::string_view bytes) {
  for (const DecidedContent& content : decided_contents) {
    if (content.call != spec.name || content.argument != index ||
        static_cast<std::uint32_t>(event.args[content.decider]) != content.value ||
        static_cast<std::uint32_t>(event.args[content.second_decider]) != content.second_value)
      continue;
    const StructureLayout* layout = find_layout(content.layout);
    if (layout != nullptr && bytes.size() >= layout->bytes)
      return structure_text(content.layout, bytes, layout->bytes);
  }
  // Nearly all options of sockets, IP, TCP and UDP are an int.
  const bool option = spec.name == "setsockopt" || spec.name == "getsockopt";
  if (option && index == 3 && bytes.size() == 4) return structure_text("int", bytes, 4);
  return {};
}

// A call that was to fill something and says that it filled nothing.
bool fills_nothing(const Event& event, const ArgumentSpec& argument) {
  return event.has_exit && event.result == 0 && argument.direction == Direction::out &&
         argument.length == LengthSource::result;
}

// How many bytes of a structure count, where the program says it: in the argument after it, or in
// the structure. What lies behind in memory is something else.
std::size_t said_size(const Event& event, const SyscallSpec& spec, std::size_t index,
                      std::string_view bytes) {
  if (index + 1U < spec.argument_count && spec.arguments[index + 1U].name == "size")
    return event.args[index + 1U];
  const std::string_view name = spec.arguments[index].set;
  if (name != "sched_attr" && name != "perf_attr") return bytes.size();
  constexpr std::size_t first_version = 48;  // SCHED_ATTR_SIZE_VER0; what 0 stands for
  constexpr std::size_t first_perf_version = 64;
  const std::size_t at = name == "perf_attr" ? 4 : 0;
  std::uint32_t size = 0;
  if (bytes.size() < at + sizeof(size)) return bytes.size();
  std::memcpy(&size, bytes.data() + at, sizeof(size));
  if (size == 0) return name == "perf_attr" ? first_perf_version : first_version;
  return size;
}

std::string structure_argument(const Event& event, const SyscallSpec& spec,
                               const ArgumentSpec& argument, std::size_t index) {
  // A structure that is both passed and filled shows what was passed; on success, what came back.
  const Capture* found = nullptr;
  if (event.result >= 0 && argument.direction != Direction::in)
    found = find_capture(event, index, {CaptureKind::structure_out, CaptureKind::buffer_out});
  if (found == nullptr && argument.direction != Direction::out)
    found = find_capture(event, index, {CaptureKind::structure_in, CaptureKind::buffer_in});
  if (found == nullptr && fills_nothing(event, argument) && event.args[index] != 0) return "[]";
  if (found == nullptr) return pointer_text(event.args[index]);
  if (argument.name == "wstatus" && found->bytes.size() >= 4) {
    std::int32_t status = 0;
    std::memcpy(&status, found->bytes.data(), sizeof(status));
    return wait_status_text(status);
  }
  if (argument.set == "fdset")
    return descriptor_set_text(found->bytes, static_cast<std::uint32_t>(event.args[0]));
  if (argument.length != LengthSource::fixed)
    return structures_text(argument.set, found->bytes, argument.fixed_length,
                           found->full_length > found->bytes.size());
  if (const std::size_t size = said_size(event, spec, index, found->bytes);
      size < argument.fixed_length)
    return first_fields_text(argument.set, found->bytes.substr(0, size), argument.fixed_length);
  return structure_text(argument.set, found->bytes, argument.fixed_length);
}

// "{1, \"text\"}": the type of a message of System V, and its text.
std::string queued_message_text(const Event& event, const Capture& message) {
  const std::size_t head = event.abi == Abi::i386 ? 4 : 8;
  if (message.bytes.size() < head) return content_text(message);
  std::int64_t type = 0;
  std::memcpy(&type, message.bytes.data(), head);
  if (head == 4) type = static_cast<std::int32_t>(type);
  Capture text = message;
  text.bytes.remove_prefix(head);
  text.full_length -= std::min<std::uint64_t>(head, text.full_length);
  return fmt::format("{{{}, {}}}", type, content_text(text));
}

std::string buffer_argument(const Event& event, const SyscallSpec& spec,
                            const ArgumentSpec& argument, std::size_t index) {
  const Capture* found = nullptr;
  if (event.result >= 0)
    found = find_capture(event, index, {CaptureKind::buffer_out, CaptureKind::iovec_out});
  if (found == nullptr)
    found = find_capture(event, index, {CaptureKind::buffer_in, CaptureKind::iovec_in});
  const bool entries =
      spec.name == "getdents64" || (spec.name == "getdents" && event.abi != Abi::i386);
  if (found == nullptr && fills_nothing(event, argument) && event.args[index] != 0)
    return entries ? "[]" : "\"\"";
  // Content of a failed call that only fills its buffer is not the kernel's.
  if (found == nullptr) return pointer_text(event.args[index]);
  if (const std::string value = content_by_decider(event, spec, index, found->bytes);
      !value.empty())
    return value;
  if ((spec.name == "sendto" || spec.name == "recvfrom") && index == 1 && is_netlink(event, 4))
    return netlink_text(*found);
  if (spec.name.ends_with("affinity"))  // one bit for each processor
    return descriptor_set_text(found->bytes, found->bytes.size() * 8);
  if (spec.name == "getcwd") return quoted(found->bytes.substr(0, found->bytes.find('\0')));
  if (entries)
    return directory_entries_text(found->bytes, spec.name == "getdents64",
                                  found->full_length > found->bytes.size());
  if (spec.name == "msgsnd" || spec.name == "msgrcv") return queued_message_text(event, *found);
  if (argument.kind == ArgumentKind::iovec) return "[" + content_text(*found) + "]";
  return content_text(*found);
}

// Each message of an array ends with the bytes of its vector.
std::string messages_text(const Event& event, std::size_t index, const PathResolver* names) {
  std::string text;
  std::size_t count = 0;
  Event one = event;
  std::size_t from = 0;
  for (std::size_t i = 0; i < event.captures.size(); ++i) {
    const CaptureKind kind = event.captures[i].kind;
    if (event.captures[i].argument != index ||
        (kind != CaptureKind::iovec_in && kind != CaptureKind::iovec_out))
      continue;
    one.captures = event.captures.subspan(from, i + 1 - from);
    from = i + 1;
    text += (count++ > 0 ? ", " : "") + message_text(one, index, names);
  }
  if (count == 0) return pointer_text(event.args[index]);
  const bool received = event.captures[from - 1].kind == CaptureKind::iovec_out;
  const auto all =
      received ? static_cast<std::uint64_t>(event.result) : std::uint64_t{static_cast<std::uint32_t>(event.args[2])};
  return "[" + text + (count < all ? ", ...]" : "]");
}

std::string string_argument(const Event& event, std::size_t index) {
  const Capture* found = find_capture(event, index, {CaptureKind::path, CaptureKind::text});
  if (found == nullptr) return pointer_text(event.args[index]);
  return quoted(found->bytes) + (found->truncated ? "..." : "");
}

std::string flags_argument(const Event& event, const ArgumentSpec& argument, std::size_t index) {
  // The kernel takes these as 32 bits, whatever stands in the upper half of the register; the sets
  // below are read as a whole word.
  bool wide = argument.set == "mount" || argument.set == "clone" || argument.set == "personality";
  std::uint64_t value = wide ? event.args[index] : static_cast<std::uint32_t>(event.args[index]);
  return flag_text(argument.set, value);
}

std::string identifier_text(std::uint64_t value) {
  auto id = static_cast<std::uint32_t>(value);
  return id == ~std::uint32_t{0} ? "-1" : fmt::format("{}", id);
}

}  // namespace

// Of sockets the peer says more than the inode.
static bool is_socket(const Capture& identity) {
  FileIdentity file{};
  std::memcpy(&file, identity.bytes.data(), sizeof(file));
  return S_ISSOCK(file.mode);
}

std::string descriptor_text(const Event& event, std::size_t argument, std::int32_t fd,
                            const PathResolver* names) {
  std::string text = fmt::format("{}", fd);
  if (fd < 0) return text;
  std::string_view known = names != nullptr ? names->descriptor(event.pid, fd, event.tid) : "";
  if (const Capture* identity = find_capture(event, argument, {CaptureKind::file_identity});
      identity != nullptr && identity->bytes.size() > sizeof(FileIdentity) &&
      !is_socket(*identity)) {
    std::string_view name = identity->bytes.substr(sizeof(FileIdentity));
    std::string_view last = known.substr(known.rfind('/') + 1);
    if (known.empty() || name.starts_with('/')) return fmt::format("{}<{}>", text, bracketed_name(name));
    if (last == name) return fmt::format("{}<{}>", text, bracketed_name(known));
    return fmt::format("{}<{}=>{}>", text, bracketed_name(known), bracketed_name(name));
  }
  if (const Capture* peer = find_capture(event, argument, {CaptureKind::socket_peer});
      peer != nullptr && peer->bytes.size() >= 2)
    return fmt::format("{}<{}>", text, bracketed_name(sockaddr_short_text(peer->bytes)));
  return known.empty() ? text : fmt::format("{}<{}>", text, bracketed_name(known));
}

std::string argument_text(const Event& event, const SyscallSpec& spec, std::size_t index,
                          const PathResolver* names) {
  std::uint64_t value = event.args[index];
  const ArgumentSpec& argument = chosen_argument(event.abi, spec, event.args, index);
  switch (argument.kind) {
    case ArgumentKind::none:
      return {};
    case ArgumentKind::integer:
    case ArgumentKind::pid:
      return fmt::format("{}", static_cast<std::int32_t>(value));
    case ArgumentKind::number:
    case ArgumentKind::offset:
      return fmt::format("{}", static_cast<std::int64_t>(value));
    case ArgumentKind::hex:
      return value == 0 ? "0" : fmt::format("{:#x}", value);
    case ArgumentKind::flags:
      return flags_argument(event, argument, index);
    case ArgumentKind::mode:
      if ((value & S_IFMT) != 0)
        return file_mode_text(static_cast<std::uint32_t>(value) & 0177777U);
      return fmt::format("{:#o}", static_cast<std::uint32_t>(value));
    case ArgumentKind::size:
      return fmt::format("{}", value);
    case ArgumentKind::uid:
    case ArgumentKind::gid:
      return identifier_text(value);
    case ArgumentKind::signal:
      return value == 0 ? "0" : signal_name(static_cast<std::uint32_t>(value));
    case ArgumentKind::device:
      return fmt::format("makedev({:#x}, {:#x})", gnu_dev_major(value), gnu_dev_minor(value));
    case ArgumentKind::dirfd:
      if (static_cast<std::int32_t>(value) == AT_FDCWD) return "AT_FDCWD";
      return descriptor_text(event, index, static_cast<std::int32_t>(value), names);
    case ArgumentKind::fd:
      return descriptor_text(event, index, static_cast<std::int32_t>(value), names);
    case ArgumentKind::pointer:
      return pointer_text(value);
    case ArgumentKind::path:
    case ArgumentKind::text:
      return string_argument(event, index);
    case ArgumentKind::buffer:
    case ArgumentKind::iovec:
      return buffer_argument(event, spec, argument, index);
    case ArgumentKind::structure:
      return structure_argument(event, spec, argument, index);
    case ArgumentKind::sockaddr: {
      const Capture* found =
          find_capture(event, index, {CaptureKind::sockaddr_in, CaptureKind::sockaddr_out});
      return found != nullptr ? sockaddr_text(found->bytes) : pointer_text(value);
    }
    case ArgumentKind::msghdr:
      return message_text(event, index, names);
    case ArgumentKind::mmsghdr:
      return messages_text(event, index, names);
    case ArgumentKind::argv: {
      const Capture* found = find_capture(event, index, {CaptureKind::argv});
      return found != nullptr ? strings_text(*found) : pointer_text(value);
    }
    case ArgumentKind::envp: {
      const Capture* found = find_capture(event, index, {CaptureKind::envp});
      if (found == nullptr) return pointer_text(value);
      auto count = std::count(found->bytes.begin(), found->bytes.end(), '\0');
      return fmt::format("{:#x} /* {}{} vars */", value, count, found->truncated ? "+" : "");
    }
  }
  return {};
}

}  // namespace gyges::recorder
