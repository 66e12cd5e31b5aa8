// One system call for tests, with captures that own their bytes.
#pragma once

#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder::testing {

class Call {
 public:
  Call(std::string_view name, std::vector<std::uint64_t> args, std::int64_t result,
       Abi abi = Abi::x86_64) {
    const SyscallSpec* spec = find_syscall(abi, name);
    event_.abi = abi;
    event_.number = spec != nullptr ? spec->number : ~std::uint32_t{0};
    for (std::size_t i = 0; i < args.size() && i < 6; ++i) event_.args[i] = args[i];
    event_.result = result;
    event_.pid = event_.tid = 100;
  }

  Call& with(std::uint8_t argument, CaptureKind kind, std::string bytes, std::size_t full = 0,
             Provenance provenance = Provenance::enter) {
    Capture capture{argument, kind, provenance, false, 0, bytes_.emplace_back(std::move(bytes))};
    capture.full_length = static_cast<std::uint32_t>(full != 0 ? full : capture.bytes.size());
    captures_.push_back(capture);
    return *this;
  }
  Call& path(std::uint8_t argument, std::string bytes) {
    return with(argument, CaptureKind::path, std::move(bytes));
  }

  Event& event() { return event_; }
  const Event& built() {
    event_.captures = captures_;
    return event_;
  }
  std::string text() { return format_event(built()); }

 private:
  Event event_;
  std::deque<std::string> bytes_;
  std::vector<Capture> captures_;
};

// A file_identity capture's bytes.
inline std::string identity(std::string_view path) {
  FileIdentity identity{42, 8, 1, 0100644, 0};
  std::string bytes(reinterpret_cast<const char*>(&identity), sizeof(identity));
  return bytes.append(path);
}

template <class T>
std::string raw(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

}  // namespace gyges::recorder::testing
