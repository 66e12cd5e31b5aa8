#include "sandbox/recorder/format/structure_text.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <csignal>
#include <cstring>

#include "base/text.h"
#include "sandbox/recorder/format/flag_sets.h"
#include "sandbox/recorder/format/structure_layouts.h"

namespace gyges::recorder {
namespace {

using Form = LayoutField::Form;

constexpr std::size_t max_shown_elements = 16;

template <class T>
T load(std::string_view bytes, std::size_t offset) {
  T value{};
  if (bytes.size() >= offset + sizeof(T)) std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::uint64_t load_sized(std::string_view bytes, const LayoutField& field) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + field.offset, std::min<std::size_t>(field.size, 8));
  return value;
}

std::int64_t sign_extended(std::uint64_t value, std::size_t size) {
  if (size == 2) return static_cast<std::int16_t>(value);
  return size == 4 ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
}

// As strace: multiples of 1024 as such.
std::string limit_text(std::uint64_t value, std::size_t size) {
  if (size == 4 && value == 0xffffffffU) return "RLIM_INFINITY";
  if (value == ~std::uint64_t{0}) return "RLIM64_INFINITY";
  return value > 1024 && value % 1024 == 0 ? fmt::format("{}*1024", value / 1024)
                                           : fmt::format("{}", value);
}

// Empty when the bytes are too short for the layout, unless the first fields alone are wanted.
std::string layout_text(const StructureLayout& layout, std::string_view bytes,
                        bool first_fields = false);

std::string field_text(const LayoutField& field, std::string_view bytes) {
  if (field.form == Form::layout) {
    const StructureLayout* inner = find_layout(field.set, field.inner_bytes);
    return inner == nullptr || bytes.size() < field.offset
               ? std::string{}
               : layout_text(*inner, bytes.substr(field.offset));
  }
  if (bytes.size() < field.offset + field.size) return {};
  std::uint64_t value = load_sized(bytes, field);
  switch (field.form) {
    case Form::number:
      return fmt::format("{}", value);
    case Form::integer:
      return fmt::format("{}", sign_extended(value, field.size));
    case Form::hex:
      return value == 0 ? "0" : fmt::format("{:#x}", value);
    case Form::octal:
      return value == 0 ? "0" : fmt::format("{:#o}", value);
    case Form::file_mode:
      return file_mode_text(static_cast<std::uint32_t>(value));
    case Form::flags:
      return flag_text(field.set, value);
    case Form::device:
      return fmt::format("makedev({:#x}, {:#x})", gnu_dev_major(value), gnu_dev_minor(value));
    case Form::signal:
      return value == 0 ? "0" : signal_name(value);
    case Form::signal_set:
      return signal_set_text(value);
    case Form::limit:
      return limit_text(value, field.size);
    case Form::handler:
      return value == 0 ? "SIG_DFL" : value == 1 ? "SIG_IGN" : fmt::format("{:#x}", value);
    case Form::capabilities:
      return flag_text("capability",
                       load<std::uint32_t>(bytes, field.offset) |
                           std::uint64_t{load<std::uint32_t>(bytes, field.offset + 12)} << 32U);
    case Form::text: {
      std::string_view text = bytes.substr(field.offset, field.size);
      return quoted(text.substr(0, text.find('\0')));
    }
    case Form::file_nanoseconds:
      if (value == UTIME_NOW || value == UTIME_OMIT)
        return value == UTIME_NOW ? "UTIME_NOW" : "UTIME_OMIT";
      return fmt::format("{}", sign_extended(value, field.size));
    case Form::wait_status:
      return wait_status_text(static_cast<std::int32_t>(value));
    case Form::layout:
      break;
  }
  return {};
}

std::string layout_text(const StructureLayout& layout, std::string_view bytes, bool first_fields) {
  std::string text(layout.open);
  for (const LayoutField& field : layout.fields) {
    const std::string value = field_text(field, bytes);
    if (value.empty() && first_fields) continue;
    if (value.empty()) return {};
    if (text.size() > layout.open.size()) text += ", ";
    if (!field.name.empty()) text += fmt::format("{}=", field.name);
    text += value;
  }
  text += layout.close;
  return text;
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

std::string file_mode_text(std::uint32_t mode) {
  return fmt::format("{}{}|{:04o}", flag_text("file_type", mode & 0170000U),
                     (mode & 07000U) == 0 ? "" : "|" + flag_text("mode_bits", mode & 07000U),
                     mode & 0777U);
}

std::string first_fields_text(std::string_view name, std::string_view bytes,
                              std::size_t layout_bytes) {
  const StructureLayout* layout = find_layout(name, layout_bytes);
  return layout == nullptr ? bytes_text(bytes) : layout_text(*layout, bytes, true);
}

std::string directory_entries_text(std::string_view bytes, bool wide, bool longer) {
  std::string text = "[";
  // linux_dirent64: inode, offset, length (2), type (1), name; linux_dirent has its type last.
  const std::size_t head = wide ? 19 : 18;
  std::size_t shown = 0;
  while (bytes.size() > head && shown < max_shown_elements) {
    const std::size_t length = load<std::uint16_t>(bytes, 16);
    if (length <= head) break;
    const std::string_view rest = bytes.substr(head, length - head);
    const bool cut_off = rest.find('\0') == std::string_view::npos;
    text += fmt::format("{}{{d_ino={}", shown++ > 0 ? ", " : "", load<std::uint64_t>(bytes, 0));
    const std::size_t type = wide ? 18 : length - 1;
    if (type < bytes.size())
      text += ", d_type=" + flag_text("directory_entry", static_cast<unsigned char>(bytes[type]));
    text += fmt::format(", d_name={}{}}}", quoted(rest.substr(0, rest.find('\0'))),
                        cut_off ? "..." : "");
    bytes.remove_prefix(std::min(length, bytes.size()));
  }
  if (longer || !bytes.empty()) text += shown > 0 ? ", ..." : "...";
  return text + "]";
}

std::string structure_text(std::string_view name, std::string_view bytes,
                           std::size_t layout_bytes) {
  // What a signal's details mean depends on the signal.
  if (name == "stat" && bytes.size() >= 144) {
    const std::uint32_t type = load<std::uint32_t>(bytes, 24) & S_IFMT;
    if (type == S_IFCHR || type == S_IFBLK) name = "stat_device";
  }
  if (name == "siginfo" && load<std::int32_t>(bytes, 0) == SIGCHLD) name = "siginfo_child";
  const StructureLayout* layout = find_layout(name, layout_bytes);
  if (layout == nullptr) return bytes_text(bytes);
  std::string text = layout_text(*layout, bytes);
  return text.empty() ? bytes_text(bytes) : text;
}

std::string structures_text(std::string_view name, std::string_view bytes, std::size_t layout_bytes,
                            bool longer) {
  const StructureLayout* layout = find_layout(name, layout_bytes);
  if (layout == nullptr) return bytes_text(bytes);
  std::string text = "[";
  std::size_t shown = 0;
  for (; bytes.size() >= layout_bytes && shown < max_shown_elements; ++shown) {
    if (shown > 0) text += ", ";
    // An element that is nothing but one value needs no brackets of its own.
    text += layout->fields.size() == 1 && layout->fields[0].name.empty()
                ? field_text(layout->fields[0], bytes)
                : layout_text(*layout, bytes);
    bytes.remove_prefix(layout_bytes);
  }
  if (longer || !bytes.empty()) text += shown > 0 ? ", ..." : "...";
  return text + "]";
}

std::string bracketed_name(std::string_view name) {
  const std::string text = quoted(name);
  std::string escaped;
  for (const char c : std::string_view(text).substr(1, text.size() - 2)) {
    if (c == '<' || c == '>')
      escaped += c == '<' ? "\\x3c" : "\\x3e";
    else
      escaped += c;
  }
  return escaped;
}

std::string descriptor_set_text(std::string_view bytes, std::uint64_t below) {
  std::string text = "[";
  for (std::uint64_t fd = 0; fd < below && fd < bytes.size() * 8; ++fd)
    if ((static_cast<unsigned char>(bytes[fd / 8]) >> fd % 8 & 1U) != 0)
      text += fmt::format("{}{}", text.size() > 1 ? " " : "", fd);
  return text + (below > bytes.size() * 8 ? " ...]" : "]");
}

static std::string descriptors_text(std::string_view bytes,
                                    const std::function<std::string(std::int32_t)>& descriptor) {
  std::string text = "[";
  for (; bytes.size() >= sizeof(std::int32_t); bytes.remove_prefix(sizeof(std::int32_t)))
    text += (text.size() > 1 ? ", " : "") + descriptor(load<std::int32_t>(bytes, 0));
  return text + "]";
}

std::string control_text(std::string_view bytes, bool longer,
                         const std::function<std::string(std::int32_t)>& descriptor) {
  constexpr std::size_t head_bytes = 16;  // cmsg_len (8), cmsg_level, cmsg_type
  std::string text = "[";
  while (bytes.size() >= head_bytes) {
    const auto length = load<std::uint64_t>(bytes, 0);
    const auto level = load<std::uint32_t>(bytes, 8);
    const auto type = load<std::uint32_t>(bytes, 12);
    if (length < head_bytes || length > bytes.size()) break;
    const std::string_view data = bytes.substr(head_bytes, length - head_bytes);
    const bool of_socket = level == SOL_SOCKET;
    if (text.size() > 1) text += ", ";
    text += fmt::format("{{cmsg_len={}, cmsg_level={}, cmsg_type={}, cmsg_data=", length,
                        flag_text("sol", level),
                        of_socket ? flag_text("scm", type) : fmt::format("{:#x}", type));
    if (of_socket && type == 1)  // SCM_RIGHTS
      text += descriptors_text(data, descriptor);
    else if (of_socket && type == 2 && data.size() >= 12)  // SCM_CREDENTIALS
      text += structure_text("ucred", data, 12);
    else
      text += bytes_text(data);
    text += "}";
    bytes.remove_prefix(std::min((length + 7) & ~std::uint64_t{7}, std::uint64_t{bytes.size()}));
  }
  if (longer || !bytes.empty()) text += text.size() > 1 ? ", ..." : "...";
  return text + "]";
}

std::string sockaddr_text(std::string_view bytes) {
  if (bytes.size() < 2) return bytes_text(bytes);
  auto family = load<std::uint16_t>(bytes, 0);
  std::string head = fmt::format("{{sa_family={}", flag_text("family", family));
  if (family == AF_INET && bytes.size() >= 8)
    return fmt::format("{}, sin_port=htons({}), sin_addr=inet_addr(\"{}\")}}", head,
                       port_text(bytes), address_text(AF_INET, bytes, 4, 4));
  if (family == AF_INET6 && bytes.size() >= 24)
    return fmt::format(
        "{}, sin6_port=htons({}), sin6_addr=\"{}\"{}}}", head, port_text(bytes),
        address_text(AF_INET6, bytes, 8, 16),
        bytes.size() < 28 ? "" : fmt::format(", sin6_scope_id={}", load<std::uint32_t>(bytes, 24)));
  if (family == AF_UNIX) {
    std::string name = unix_name(bytes);
    if (name.empty()) return head + "}";
    bool abstract = bytes.size() > 2 && bytes[2] == '\0';
    return fmt::format("{}, sun_path={}{}}}", head, abstract ? "@" : "",
                       quoted(abstract ? std::string_view(name).substr(1) : name));
  }
  if (family == AF_NETLINK && bytes.size() >= 12)
    return fmt::format("{}, nl_pid={}, nl_groups={:08x}}}", head, load<std::uint32_t>(bytes, 4),
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
  if (family == AF_UNIX) return "unix:" + unix_name(bytes);
  return flag_text("family", family);
}

}  // namespace gyges::recorder
