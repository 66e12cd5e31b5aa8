#include "sandbox/isolation/seccomp_profile.h"

#include <linux/seccomp.h>
#include <seccomp.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/assets.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/isolation/oci_profile.h"

namespace gyges::isolation {
namespace {

using nlohmann::json;

constexpr std::size_t largest_profile = 1U << 20U;

int errno_of(const std::string& name) {
  return name == "ENOSYS" ? ENOSYS : name == "EACCES" ? EACCES : EPERM;
}

Result<json> shipped(std::string_view name) {
  std::string file = "policies/seccomp/" + std::string(name) + ".json";
  auto text = asset(file);
  if (!text) {
    std::vector<std::string> names;
    for (std::string_view known : assets_below("policies/seccomp/")) {
      known.remove_prefix(std::string_view("policies/seccomp/").size());
      names.emplace_back(known.substr(0, known.size() - std::string_view(".json").size()));
    }
    return fail("find seccomp profile", quoted(name), "no shipped profile has this name",
                "use one of " + join(names, ", ") + ", or a path with a slash");
  }
  GYGES_TRY(json profile, parse_json(*text, file));
  GYGES_CHECK(validate_json(profile, "seccomp_profile", file));
  return profile;
}

void add_refused(const json& document, SeccompProfile& profile) {
  for (const auto& group : document.at("refused")) {
    SeccompRefusal refusal{errno_of(group.at("errno").get<std::string>()), group.value("grant", ""),
                           group.at("why").get<std::string>(), false,
                           "the profile " + document.at("name").get<std::string>()};
    for (const auto& name : group.at("names")) profile.refused[name.get<std::string>()] = refusal;
  }
}

Status add_shipped_groups(std::string_view name, SeccompProfile& profile) {
  GYGES_TRY(json document, shipped(name));
  add_refused(document, profile);
  return ok();
}

}  // namespace

std::uint32_t SeccompAction::filter_value() const {
  switch (kind) {
    case Kind::allow:
      return SECCOMP_RET_ALLOW;
    case Kind::log:
      return SECCOMP_RET_LOG;
    case Kind::refuse:
      return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code);
    case Kind::kill_thread:
      return SECCOMP_RET_KILL_THREAD;
    case Kind::kill_process:
      return SECCOMP_RET_KILL_PROCESS;
    case Kind::trap:
      return SECCOMP_RET_TRAP;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

std::string SeccompAction::words() const {
  switch (kind) {
    case Kind::allow:
      return "allow";
    case Kind::log:
      return "allow, logged";
    case Kind::refuse: {
      const char* name = ::strerrorname_np(code);
      return name != nullptr ? name : "errno " + std::to_string(code);
    }
    case Kind::kill_thread:
      return "kills the thread";
    case Kind::kill_process:
      return "kills the process";
    case Kind::trap:
      return "SIGSYS";
  }
  return "";
}

Result<int> syscall_number(std::string_view name) {
  int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, std::string(name).c_str());
  if (number != __NR_SCMP_ERROR) return number;
  return fail("apply seccomp rules", printable(name), "no system call has this name",
              "use a name of syscalls(2)");
}

std::string syscall_name(int number) {
  std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number), &std::free);
  return name ? std::string(name.get()) : std::string();
}

Result<SeccompProfile> read_seccomp_profile(std::string_view text, std::string_view source,
                                            const std::vector<std::string>& capabilities) {
  GYGES_TRY(json document, parse_json(text, source));
  SeccompProfile profile;
  profile.name = std::string(source);
  if (is_oci_profile(document)) {
    GYGES_CHECK(read_oci_profile(document, source, capabilities, profile));
    GYGES_CHECK(add_shipped_groups("default", profile));
    return profile;
  }
  GYGES_CHECK(validate_json(document, "seccomp_profile", source));
  profile.name = document.at("name").get<std::string>();
  if (document.contains("extends"))
    GYGES_CHECK(add_shipped_groups(document.at("extends").get<std::string>(), profile));
  add_refused(document, profile);
  if (document.contains("allowed"))
    for (const auto& group : document.at("allowed"))
      for (const auto& name : group.at("names")) {
        GYGES_CHECK(syscall_number(name.get<std::string>()));
        profile.allowed.insert(name.get<std::string>());
      }
  return profile;
}

Result<SeccompProfile> load_seccomp_profile(std::string_view profile,
                                            const std::vector<std::string>& capabilities) {
  if (profile.find('/') != std::string_view::npos || profile.ends_with(".json")) {
    GYGES_TRY(std::string text, read_file(std::string(profile), largest_profile));
    return read_seccomp_profile(text, profile, capabilities);
  }
  GYGES_TRY(json document, shipped(profile));
  return read_seccomp_profile(document.dump(), "policies/seccomp/" + std::string(profile) + ".json",
                              capabilities);
}

}  // namespace gyges::isolation
