#include <fmt/format.h>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/flag_sets.h"

namespace gyges::recorder {
namespace {

using Json = nlohmann::json;

Json strings_json(std::string_view bytes) {
  Json list = Json::array();
  while (!bytes.empty()) {
    std::size_t end = std::min(bytes.find('\0'), bytes.size());
    list.push_back(valid_utf8(bytes.substr(0, end)));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  return list;
}

const Capture* text_capture(const Event& event, std::size_t argument) {
  for (const Capture& capture : event.captures)
    if (capture.argument == argument && capture.provenance != Provenance::missing &&
        (capture.kind == CaptureKind::path || capture.kind == CaptureKind::text ||
         capture.kind == CaptureKind::argv || capture.kind == CaptureKind::envp))
      return &capture;
  return nullptr;
}

Json argument_json(const Event& event, const SyscallSpec& spec, std::size_t index,
                   const PathResolver* names) {
  const ArgumentSpec& argument = spec.arguments[index];
  std::uint64_t value = event.args[index];
  Json json{{"name", argument.name}};
  const Capture* text = text_capture(event, index);
  switch (argument.kind) {
    case ArgumentKind::path:
    case ArgumentKind::text:
      json["value"] = text != nullptr ? Json(valid_utf8(text->bytes)) : Json(nullptr);
      break;
    case ArgumentKind::argv:
    case ArgumentKind::envp:
      json["value"] = text != nullptr ? strings_json(text->bytes) : Json(nullptr);
      break;
    case ArgumentKind::integer:
    case ArgumentKind::fd:
    case ArgumentKind::dirfd:
    case ArgumentKind::pid:
      json["value"] = static_cast<std::int32_t>(value);
      break;
    case ArgumentKind::uid:
    case ArgumentKind::gid:
    case ArgumentKind::mode:
    case ArgumentKind::signal:
      json["value"] = static_cast<std::uint32_t>(value);
      break;
    case ArgumentKind::number:
    case ArgumentKind::offset:
      json["value"] = static_cast<std::int64_t>(value);
      break;
    case ArgumentKind::size:
    case ArgumentKind::flags:
    case ArgumentKind::device:
      json["value"] = value;
      break;
    default:
      // Addresses and opaque words: JSON numbers of many readers hold only 53 bits.
      json["value"] = fmt::format("{:#x}", value);
      break;
  }
  json["text"] = argument_text(event, spec, index, names);
  for (const Capture& capture : event.captures)
    if (capture.argument == index) {
      if (capture.truncated) json["truncated"] = true;
      if (capture.provenance != Provenance::enter)
        json["provenance"] = provenance_name(capture.provenance);
    }
  return json;
}

Json arguments_json(const Event& event, const PathResolver* names) {
  Json list = Json::array();
  const SyscallSpec* spec = find_syscall(event.abi, event.number);
  if (spec == nullptr) {
    for (std::size_t i = 0; i < event.args.size(); ++i)
      list.push_back({{"name", fmt::format("arg{}", i)},
                      {"value", fmt::format("{:#x}", event.args[i])},
                      {"text", fmt::format("{:#x}", event.args[i])}});
    return list;
  }
  for (std::size_t i = 0; i < spec->argument_count; ++i)
    list.push_back(argument_json(event, *spec, i, names));
  return list;
}

Json or_null(std::uint32_t id) {
  return id == 0 ? Json(nullptr) : Json(id);
}

Json paths_json(const std::vector<ResolvedPath>& paths) {
  Json list = Json::array();
  for (const ResolvedPath& path : paths)
    list.push_back(
        {{"argument", path.argument == result_argument ? Json("result") : Json(path.argument)},
         {"path", valid_utf8(path.path)},
         {"absolute", path.absolute},
         {"provenance", provenance_name(path.provenance)},
         {"mutation", path.mutation}});
  return list;
}

std::string hex_text(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    text += digits[static_cast<unsigned char>(c) >> 4U];
    text += digits[static_cast<unsigned char>(c) & 15U];
  }
  return text;
}

}  // namespace

nlohmann::json event_to_json(const Event& event, const std::vector<ResolvedPath>& paths,
                             const PathResolver* names) {
  bool is_call = event.kind == EventKind::syscall;
  bool failed = is_call && event.has_exit && event.result < 0 && event.result >= -4095;
  Json json{{"seq", event.sequence},
            {"time_ns", event.time_ns},
            {"kind", event_kind_name(event.kind)},
            {"pid", event.pid},
            {"tid", event.tid},
            {"inside_pid", event.inside_pid == 0 ? Json(nullptr) : Json(event.inside_pid)},
            {"inside_tid", event.inside_tid == 0 ? Json(nullptr) : Json(event.inside_tid)},
            {"syscall", is_call ? Json(syscall_name(event.abi, event.number)) : Json(nullptr)},
            {"number", is_call ? Json(event.number) : Json(nullptr)},
            {"abi", abi_name(event.abi)},
            {"args", is_call ? arguments_json(event, names) : Json::array()},
            {"result", event.has_exit ? Json(event.result) : Json(nullptr)},
            {"errno", nullptr},
            {"duration_ns", event.duration_ns},
            {"verdict", verdict_name(event.verdict)},
            {"tool_call", or_null(tool_call_of(event))},
            {"origin_call", or_null(event.origin_call)},
            {"paths", paths_json(paths)},
            {"text", format_event(event, names)}};
  if (failed) {
    std::string_view name = errno_name(-event.result);
    json["errno"] = name.empty() ? Json(-event.result) : Json(name);
  }
  if (event.kind == EventKind::signal) json["signal"] = signal_name(event.args[0]);
  for (const Capture& capture : event.captures) {
    if (event.kind == EventKind::content)
      json["content"] = {{"call", syscall_name(event.abi, event.number)},
                         {"descriptor", static_cast<std::int32_t>(event.args[0])},
                         {"offset", event.args[1]},
                         {"total", event.args[2]},
                         {"hex", hex_text(capture.bytes)},
                         {"missing", capture.provenance == Provenance::missing},
                         {"truncated", capture.truncated}};
    if (event.kind == EventKind::process_exec && capture.kind == CaptureKind::argv)
      json["argv"] = strings_json(capture.bytes);
    if (event.kind == EventKind::tool_call_start && capture.kind == CaptureKind::text)
      json["tool"] = valid_utf8(capture.bytes);
  }
  return json;
}

}  // namespace gyges::recorder
