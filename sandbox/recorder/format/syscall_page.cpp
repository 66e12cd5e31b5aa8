#include "sandbox/recorder/format/syscall_page.h"

#include <fmt/format.h>

#include "sandbox/recorder/format/structure_text.h"

namespace gyges::recorder {
namespace {

std::string kind_text(const ArgumentSpec& argument) {
  switch (argument.kind) {
    case ArgumentKind::none:
      return "";
    case ArgumentKind::integer:
      return "int";
    case ArgumentKind::number:
      return "number";
    case ArgumentKind::hex:
      return "hex";
    case ArgumentKind::flags:
      return fmt::format("flags {}", argument.set);
    case ArgumentKind::mode:
      return "mode";
    case ArgumentKind::size:
      return "size";
    case ArgumentKind::offset:
      return "offset";
    case ArgumentKind::pid:
      return "pid";
    case ArgumentKind::uid:
      return "uid";
    case ArgumentKind::gid:
      return "gid";
    case ArgumentKind::signal:
      return "signal";
    case ArgumentKind::device:
      return "device";
    case ArgumentKind::fd:
      return "fd";
    case ArgumentKind::dirfd:
      return "directory";
    case ArgumentKind::pointer:
      return "address";
    case ArgumentKind::path:
      return "path";
    case ArgumentKind::text:
      return "string";
    case ArgumentKind::buffer:
      return "bytes";
    case ArgumentKind::structure:
      return fmt::format("struct {}", argument.set);
    case ArgumentKind::sockaddr:
      return "socket address";
    case ArgumentKind::iovec:
      return "iovec";
    case ArgumentKind::msghdr:
      return "message";
    case ArgumentKind::mmsghdr:
      return "messages";
    case ArgumentKind::argv:
      return "argv";
    case ArgumentKind::envp:
      return "envp";
  }
  return "";
}

// Whether the text form knows the layout, seen from what it makes of zeros.
bool is_shown_as_bytes(const ArgumentSpec& argument) {
  if (argument.kind != ArgumentKind::structure || argument.set == "fdset") return false;
  std::string zeros(argument.fixed_length, '\0');
  return structure_text(argument.set, zeros, zeros.size()) == bytes_text(zeros);
}

std::string names_of_classes(const SyscallSpec& spec) {
  std::string names;
  for (std::size_t i = 0; i < syscall_class_count; ++i) {
    auto cls = static_cast<SyscallClass>(i);
    if (spec.is(cls))
      names += fmt::format("{}{}", names.empty() ? "" : ", ", syscall_class_name(cls));
  }
  return names;
}

}  // namespace

std::string syscall_signature(const SyscallSpec& spec) {
  std::string text = fmt::format("{}(", spec.name);
  for (std::size_t i = 0; i < spec.argument_count; ++i) {
    const ArgumentSpec& argument = spec.arguments[i];
    text += fmt::format("{}{}: {}", i == 0 ? "" : ", ", argument.name, kind_text(argument));
  }
  text += ")";
  if (spec.result != ArgumentKind::none && spec.result != ArgumentKind::number) {
    ArgumentSpec result;
    result.kind = spec.result;
    text += " = " + kind_text(result);
  }
  return text;
}

std::string structures_shown_as_bytes(const SyscallSpec& spec) {
  std::string names;
  for (std::size_t i = 0; i < spec.argument_count; ++i)
    if (is_shown_as_bytes(spec.arguments[i]))
      names += fmt::format("{}{}", names.empty() ? "" : ", ", spec.arguments[i].set);
  return names;
}

std::string syscall_page() {
  std::size_t as_bytes = 0;
  std::string rows;
  for (const SyscallSpec& spec : syscalls(Abi::x86_64)) {
    std::string bytes = structures_shown_as_bytes(spec);
    as_bytes += bytes.empty() ? 0 : 1;
    rows += fmt::format("| {} | `{}` | {} | {} |\n", spec.number, syscall_signature(spec),
                        names_of_classes(spec), bytes);
  }
  return fmt::format(
      "# System calls\n\n"
      "Written by `gyges trace syscalls` from the table that the recorder, the text form and the\n"
      "filters use: `sandbox/recorder/format/x86_64.syscalls`. How to read it: kinds of arguments\n"
      "are after the colons. `flags` come out as names, `directory` and `fd` with the file they\n"
      "stand for, `struct` field by field, `bytes` as their beginning; of an `address` only the\n"
      "number is recorded. After `=` stands the kind of a result that is no plain number. The "
      "last\n"
      "column names structures that are recorded but shown as bytes.\n\n"
      "{} calls, {} with a structure shown as bytes. 32-bit calls have a table of their own,\n"
      "`i386.syscalls`. Numbers 337 to 423 do not exist on x86-64.\n\n"
      "| number | call | classes | shown as bytes |\n|---|---|---|---|\n{}",
      syscalls(Abi::x86_64).size(), as_bytes, rows);
}

}  // namespace gyges::recorder
