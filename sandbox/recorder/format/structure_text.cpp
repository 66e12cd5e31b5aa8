#include "sandbox/recorder/format/structure_text.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <initializer_list>
#include <vector>

#include "base/text.h"
#include "sandbox/recorder/format/flag_sets.h"

namespace gyges::recorder {
namespace {

enum class Form : std::uint8_t {
  number,   // unsigned
  integer,  // signed
  hex,
  octal,      // permission bits
  file_mode,  // S_IFREG|0644
  flags,      // set named
  signal,
  signal_set,
  limit,    // RLIM64_INFINITY
  handler,  // SIG_DFL, SIG_IGN or an address
  text,     // NUL-ended within size
  wait_status,
};

struct Field {
  std::string_view name;  // empty: only the value is shown
  std::uint16_t offset;
  std::uint16_t size;
  Form form = Form::number;
  std::string_view set = {};
};

struct Layout {
  std::string_view name;
  std::size_t bytes;  // of the x86-64 form
  std::string_view open, close;
  std::vector<Field> fields;
};

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {"stat",
       144,
       "{",
       ", ...}",
       {{"st_mode", 24, 4, Form::file_mode}, {"st_uid", 28, 4}, {"st_size", 48, 8, Form::integer}}},
      {"statx",
       256,
       "{",
       ", ...}",
       {{"stx_mask", 0, 4, Form::flags, "statx_mask"},
        {"stx_mode", 28, 2, Form::file_mode},
        {"stx_uid", 20, 4},
        {"stx_size", 40, 8}}},
      {"statfs",
       120,
       "{",
       ", ...}",
       {{"f_type", 0, 8, Form::hex}, {"f_bsize", 8, 8}, {"f_blocks", 16, 8}, {"f_bfree", 24, 8}}},
      {"timespec",
       16,
       "{",
       "}",
       {{"tv_sec", 0, 8, Form::integer}, {"tv_nsec", 8, 8, Form::integer}}},
      {"timespec64",
       16,
       "{",
       "}",
       {{"tv_sec", 0, 8, Form::integer}, {"tv_nsec", 8, 8, Form::integer}}},
      {"timespec2",
       32,
       "[{",
       "}]",
       {{"tv_sec", 0, 8, Form::integer},
        {"tv_nsec", 8, 8, Form::integer},
        {"tv_sec", 16, 8, Form::integer},
        {"tv_nsec", 24, 8, Form::integer}}},
      {"timeval",
       16,
       "{",
       "}",
       {{"tv_sec", 0, 8, Form::integer}, {"tv_usec", 8, 8, Form::integer}}},
      {"timeval2",
       32,
       "[{",
       "}]",
       {{"tv_sec", 0, 8, Form::integer},
        {"tv_usec", 8, 8, Form::integer},
        {"tv_sec", 16, 8, Form::integer},
        {"tv_usec", 24, 8, Form::integer}}},
      {"itimerval",
       32,
       "{",
       "}",
       {{"interval_sec", 0, 8, Form::integer},
        {"interval_usec", 8, 8, Form::integer},
        {"value_sec", 16, 8, Form::integer},
        {"value_usec", 24, 8, Form::integer}}},
      {"itimerspec",
       32,
       "{",
       "}",
       {{"interval_sec", 0, 8, Form::integer},
        {"interval_nsec", 8, 8, Form::integer},
        {"value_sec", 16, 8, Form::integer},
        {"value_nsec", 24, 8, Form::integer}}},
      {"time_t", 8, "[", "]", {{"", 0, 8, Form::integer}}},
      {"utimbuf",
       16,
       "{",
       "}",
       {{"actime", 0, 8, Form::integer}, {"modtime", 8, 8, Form::integer}}},
      {"tms",
       32,
       "{",
       "}",
       {{"tms_utime", 0, 8}, {"tms_stime", 8, 8}, {"tms_cutime", 16, 8}, {"tms_cstime", 24, 8}}},
      {"rlimit", 16, "{", "}", {{"rlim_cur", 0, 8, Form::limit}, {"rlim_max", 8, 8, Form::limit}}},
      {"rlimit64",
       16,
       "{",
       "}",
       {{"rlim_cur", 0, 8, Form::limit}, {"rlim_max", 8, 8, Form::limit}}},
      {"rusage",
       144,
       "{",
       ", ...}",
       {{"utime_sec", 0, 8, Form::integer},
        {"utime_usec", 8, 8, Form::integer},
        {"stime_sec", 16, 8, Form::integer},
        {"stime_usec", 24, 8, Form::integer}}},
      {"sigaction",
       32,
       "{",
       "}",
       {{"sa_handler", 0, 8, Form::handler},
        {"sa_mask", 24, 8, Form::signal_set},
        {"sa_flags", 8, 8, Form::flags, "sa"}}},
      {"sigset", 8, "", "", {{"", 0, 8, Form::signal_set}}},
      {"siginfo",
       128,
       "{",
       ", ...}",
       {{"si_signo", 0, 4, Form::signal},
        {"si_code", 8, 4, Form::flags, "si_code"},
        {"si_pid", 16, 4, Form::integer},
        {"si_uid", 20, 4}}},
      {"stack",
       24,
       "{",
       "}",
       {{"ss_sp", 0, 8, Form::hex}, {"ss_flags", 8, 4, Form::hex}, {"ss_size", 16, 8}}},
      {"utsname",
       390,
       "{",
       ", ...}",
       {{"sysname", 0, 65, Form::text},
        {"nodename", 65, 65, Form::text},
        {"release", 130, 65, Form::text},
        {"version", 195, 65, Form::text},
        {"machine", 260, 65, Form::text}}},
      {"sysinfo",
       112,
       "{",
       ", ...}",
       {{"uptime", 0, 8}, {"totalram", 32, 8}, {"freeram", 40, 8}, {"procs", 80, 2}}},
      {"int", 4, "[", "]", {{"", 0, 4, Form::integer}}},
      {"ids", 4, "[", "]", {{"", 0, 4}}},
      {"off", 8, "[", "]", {{"", 0, 8, Form::integer}}},
      {"size", 8, "[", "]", {{"", 0, 8}}},
      {"pipefd", 8, "[", "]", {{"", 0, 4, Form::integer}, {"", 4, 4, Form::integer}}},
      {"epoll_event",
       12,
       "{",
       "}",
       {{"events", 0, 4, Form::flags, "epoll"}, {"data", 4, 8, Form::hex}}},
      {"sched_param", 4, "[", "]", {{"", 0, 4, Form::integer}}},
      {"cap_header", 8, "{", "}", {{"version", 0, 4, Form::hex}, {"pid", 4, 4, Form::integer}}},
      {"cap_data",
       24,
       "{",
       "}",
       {{"effective_low", 0, 4, Form::hex},
        {"permitted_low", 4, 4, Form::hex},
        {"inheritable_low", 8, 4, Form::hex},
        {"effective_high", 12, 4, Form::hex},
        {"permitted_high", 16, 4, Form::hex},
        {"inheritable_high", 20, 4, Form::hex}}},
      {"clone_args",
       88,
       "{",
       ", ...}",
       {{"flags", 0, 8, Form::flags, "clone"},
        {"exit_signal", 32, 8, Form::signal},
        {"stack", 40, 8, Form::hex},
        {"stack_size", 48, 8, Form::hex}}},
      {"open_how",
       24,
       "{",
       "}",
       {{"flags", 0, 8, Form::flags, "open"},
        {"mode", 8, 8, Form::octal},
        {"resolve", 16, 8, Form::flags, "resolve"}}},
      {"mq_attr",
       64,
       "{",
       "}",
       {{"mq_flags", 0, 8, Form::flags, "open"},
        {"mq_maxmsg", 8, 8},
        {"mq_msgsize", 16, 8},
        {"mq_curmsgs", 24, 8}}},
      {"perf_attr",
       136,
       "{",
       ", ...}",
       {{"type", 0, 4}, {"size", 4, 4}, {"config", 8, 8, Form::hex}}},
      {"mount_attr",
       32,
       "{",
       "}",
       {{"attr_set", 0, 8, Form::hex},
        {"attr_clr", 8, 8, Form::hex},
        {"propagation", 16, 8, Form::hex},
        {"userns_fd", 24, 8}}},
  };
  return all;
}

template <class T>
T load(std::string_view bytes, std::size_t offset) {
  T value{};
  if (bytes.size() >= offset + sizeof(T)) std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::uint64_t load_sized(std::string_view bytes, const Field& field) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + field.offset, std::min<std::size_t>(field.size, 8));
  return value;
}

std::int64_t sign_extended(std::uint64_t value, std::size_t size) {
  return size == 4 ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
}

std::string field_text(const Field& field, std::string_view bytes) {
  std::uint64_t value = load_sized(bytes, field);
  switch (field.form) {
    case Form::number:
      return fmt::format("{}", value);
    case Form::integer:
      return fmt::format("{}", sign_extended(value, field.size));
    case Form::hex:
      return fmt::format("{:#x}", value);
    case Form::octal:
      return fmt::format("{:#o}", value);
    case Form::file_mode:
      return fmt::format("{}|{:04o}", flag_text("file_type", value & 0170000U), value & 07777U);
    case Form::flags:
      return flag_text(field.set, value);
    case Form::signal:
      return value == 0 ? "0" : signal_name(value);
    case Form::signal_set:
      return signal_set_text(value);
    case Form::limit:
      return value == ~std::uint64_t{0} ? "RLIM64_INFINITY" : fmt::format("{}", value);
    case Form::handler:
      return value == 0 ? "SIG_DFL" : value == 1 ? "SIG_IGN" : fmt::format("{:#x}", value);
    case Form::text: {
      std::string_view text = bytes.substr(field.offset, field.size);
      return quoted(text.substr(0, text.find('\0')));
    }
    case Form::wait_status:
      return wait_status_text(static_cast<std::int32_t>(value));
  }
  return {};
}

std::string port_text(std::string_view bytes) {
  return fmt::format("{}", ntohs(load<std::uint16_t>(bytes, 2)));
}

std::string address_text(int family, std::string_view bytes, std::size_t offset, std::size_t size) {
  char text[INET6_ADDRSTRLEN] = {};
  if (bytes.size() < offset + size ||
      ::inet_ntop(family, bytes.data() + offset, text, sizeof(text)) == nullptr)
    return "?";
  return text;
}

// The name in a sockaddr_un: abstract names begin with NUL and are shown with "@".
std::string unix_name(std::string_view bytes) {
  std::string_view name = bytes.substr(std::min<std::size_t>(2, bytes.size()));
  if (name.empty()) return {};
  if (name.front() == '\0') return "@" + std::string(name.substr(1));
  return std::string(name.substr(0, name.find('\0')));
}

}  // namespace

std::string bytes_text(std::string_view bytes) {
  std::string hex;
  for (char c : bytes.substr(0, 16)) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return fmt::format("{{{} bytes: {}{}}}", bytes.size(), hex, bytes.size() > 16 ? "..." : "");
}

std::string signal_set_text(std::uint64_t set) {
  // As strace: a set with most signals in it is shown by those that are not.
  bool inverted = __builtin_popcountll(set) > 32;
  std::string text = inverted ? "~[" : "[";
  std::uint64_t shown = inverted ? ~set : set;
  for (unsigned i = 0; i < 64; ++i) {
    if ((shown >> i & 1U) == 0) continue;
    std::string name = signal_name(i + 1);
    if (text.back() != '[') text += ' ';
    text += name.starts_with("SIG") ? name.substr(3) : name;
  }
  return text + "]";
}

std::string wait_status_text(std::int32_t status) {
  auto bits = static_cast<std::uint32_t>(status);
  std::uint32_t signal = bits & 0x7FU;
  if (bits == 0xFFFF) return "[{WIFCONTINUED(s)}]";
  if (signal == 0)
    return fmt::format("[{{WIFEXITED(s) && WEXITSTATUS(s) == {}}}]", bits >> 8U & 0xFFU);
  if (signal == 0x7F)
    return fmt::format("[{{WIFSTOPPED(s) && WSTOPSIG(s) == {}}}]", signal_name(bits >> 8U & 0xFFU));
  return fmt::format("[{{WIFSIGNALED(s) && WTERMSIG(s) == {}{}}}]", signal_name(signal),
                     (bits & 0x80U) != 0 ? " && WCOREDUMP(s)" : "");
}

std::string structure_text(std::string_view name, std::string_view bytes,
                           std::size_t layout_bytes) {
  for (const Layout& layout : layouts()) {
    if (layout.name != name || layout.bytes != layout_bytes) continue;
    std::string text(layout.open);
    bool first = true;
    for (const Field& field : layout.fields) {
      if (bytes.size() < std::size_t{field.offset} + field.size) return bytes_text(bytes);
      if (!first) text += ", ";
      first = false;
      if (!field.name.empty()) text += fmt::format("{}=", field.name);
      text += field_text(field, bytes);
    }
    text += layout.close;
    return text;
  }
  return bytes_text(bytes);
}

std::string sockaddr_text(std::string_view bytes) {
  if (bytes.size() < 2) return bytes_text(bytes);
  auto family = load<std::uint16_t>(bytes, 0);
  std::string head = fmt::format("{{sa_family={}", flag_text("family", family));
  if (family == AF_INET && bytes.size() >= 8)
    return fmt::format("{}, sin_port=htons({}), sin_addr=inet_addr(\"{}\")}}", head,
                       port_text(bytes), address_text(AF_INET, bytes, 4, 4));
  if (family == AF_INET6 && bytes.size() >= 24)
    return fmt::format("{}, sin6_port=htons({}), sin6_addr=\"{}\"}}", head, port_text(bytes),
                       address_text(AF_INET6, bytes, 8, 16));
  if (family == AF_UNIX) {
    std::string name = unix_name(bytes);
    if (name.empty()) return head + "}";
    bool abstract = bytes.size() > 2 && bytes[2] == '\0';
    return fmt::format("{}, sun_path={}{}}}", head, abstract ? "@" : "",
                       quoted(abstract ? std::string_view(name).substr(1) : name));
  }
  if (family == AF_NETLINK && bytes.size() >= 12)
    return fmt::format("{}, nl_pid={}, nl_groups={:#x}}}", head, load<std::uint32_t>(bytes, 4),
                       load<std::uint32_t>(bytes, 8));
  if (family == AF_VSOCK && bytes.size() >= 12)
    return fmt::format("{}, svm_cid={}, svm_port={}}}", head, load<std::uint32_t>(bytes, 8),
                       load<std::uint32_t>(bytes, 4));
  if (bytes.size() == 2) return head + "}";
  return fmt::format("{}, sa_data={}}}", head, bytes_text(bytes.substr(2)));
}

std::string sockaddr_short_text(std::string_view bytes) {
  if (bytes.size() < 2) return {};
  auto family = load<std::uint16_t>(bytes, 0);
  if (family == AF_INET && bytes.size() >= 8)
    return address_text(AF_INET, bytes, 4, 4) + ":" + port_text(bytes);
  if (family == AF_INET6 && bytes.size() >= 24)
    return "[" + address_text(AF_INET6, bytes, 8, 16) + "]:" + port_text(bytes);
  if (family == AF_UNIX) return "unix:" + printable(unix_name(bytes));
  return flag_text("family", family);
}

}  // namespace gyges::recorder
