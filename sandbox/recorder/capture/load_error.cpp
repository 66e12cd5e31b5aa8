#include "sandbox/recorder/capture/load_error.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

namespace gyges::recorder {
namespace {

// libbpf reports through one callback of the process; the last line of this thread is kept for the
// error message.
thread_local std::string last_message;

int keep_message(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  char line[512];
  vsnprintf(line, sizeof(line), format, arguments);
  std::string_view text = line;
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.find("-- ") != std::string_view::npos || text.size() > 400) return 0;  // verifier log
  last_message = text;
  return 0;
}

constexpr std::string_view privilege_cure =
    "run as root (or with CAP_BPF and CAP_PERFMON) on a kernel with BTF, 5.17 or later, or choose "
    "the ptrace backend";

}  // namespace

void keep_libbpf_messages() {
  libbpf_set_print(keep_message);
  last_message.clear();
}

tl::unexpected<Error> load_error(std::string_view object, int code) {
  std::string reason = std::strerror(code);
  if (!last_message.empty()) reason += " (" + last_message + ")";
  tl::unexpected<Error> error = fail("load recorder programs", object, reason, privilege_cure);
  error.value().code = code;
  return error;
}

}  // namespace gyges::recorder
