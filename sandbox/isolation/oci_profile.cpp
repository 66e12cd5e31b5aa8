#include "sandbox/isolation/oci_profile.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/json.h"
#include "base/text.h"

namespace gyges::isolation {
namespace {

using nlohmann::json;
using Kind = SeccompAction::Kind;
using Compare = SeccompCondition::Compare;

struct ActionName {
  std::string_view name;
  Kind kind;
};
constexpr std::array actions{ActionName{"SCMP_ACT_ALLOW", Kind::allow},
                             ActionName{"SCMP_ACT_LOG", Kind::log},
                             ActionName{"SCMP_ACT_ERRNO", Kind::refuse},
                             ActionName{"SCMP_ACT_KILL", Kind::kill_thread},
                             ActionName{"SCMP_ACT_KILL_THREAD", Kind::kill_thread},
                             ActionName{"SCMP_ACT_KILL_PROCESS", Kind::kill_process},
                             ActionName{"SCMP_ACT_TRAP", Kind::trap}};

struct CompareName {
  std::string_view name;
  Compare compare;
};
constexpr std::array comparisons{CompareName{"SCMP_CMP_NE", Compare::not_equal},
                                 CompareName{"SCMP_CMP_LT", Compare::less},
                                 CompareName{"SCMP_CMP_LE", Compare::less_equal},
                                 CompareName{"SCMP_CMP_EQ", Compare::equal},
                                 CompareName{"SCMP_CMP_GE", Compare::greater_equal},
                                 CompareName{"SCMP_CMP_GT", Compare::greater},
                                 CompareName{"SCMP_CMP_MASKED_EQ", Compare::masked_equal}};

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

class Reader {
 public:
  Reader(std::string_view source, const std::vector<std::string>& capabilities)
      : source_(source), capabilities_(capabilities) {}

  Status read(const json& document, SeccompProfile& profile) {
    GYGES_CHECK(only_keys(document, "",
                          {"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures",
                           "archMap", "syscalls", "comment", "flags"}));
    GYGES_CHECK(no_flags(document));
    GYGES_CHECK(architectures(document));
    GYGES_TRY(profile.otherwise, action(document, "defaultAction", "defaultErrnoRet", ""));
    if (!document.contains("syscalls")) return ok();
    GYGES_TRY(const json* list, array(document, "syscalls", ""));
    for (std::size_t i = 0; i < list->size(); ++i)
      GYGES_CHECK(entry((*list)[i], "/syscalls/" + std::to_string(i), profile));
    return ok();
  }

 private:
  [[nodiscard]] tl::unexpected<Error> bad(const std::string& place, std::string_view reason,
                                          std::string_view cure) const {
    return fail("read seccomp file", std::string(source_) + (place.empty() ? "" : " at " + place),
                reason, cure);
  }

  Status only_keys(const json& object, const std::string& place,
                   const std::vector<std::string>& keys) const {
    if (!object.is_object()) return bad(place, "is not an object", "write { ... }");
    for (const auto& [key, value] : object.items())
      if (!contains(keys, key))
        return bad(place, "the key " + quoted(key) + " is not supported",
                   "remove it; supported are " + join(keys, ", "));
    return ok();
  }

  Result<const json*> array(const json& object, const char* key, const std::string& place) const {
    const json& value = object.at(key);
    if (!value.is_array()) return bad(place + "/" + key, "is not a list", "write [ ... ]");
    return &value;
  }

  Result<std::vector<std::string>> strings(const json& object, const char* key,
                                           const std::string& place) const {
    std::vector<std::string> result;
    if (!object.contains(key) || object.at(key).is_null()) return result;
    GYGES_TRY(const json* list, array(object, key, place));
    for (const json& value : *list) {
      if (!value.is_string())
        return bad(place + "/" + key, "holds something that is no string", "list strings");
      result.push_back(value.get<std::string>());
    }
    return result;
  }

  Result<std::uint64_t> number(const json& object, const char* key, const std::string& place,
                               std::uint64_t most) const {
    const json& value = object.at(key);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most)
      return bad(place + "/" + key, "is not a number from 0 to " + std::to_string(most),
                 "correct it");
    return value.get<std::uint64_t>();
  }

  // Flags change how a filter is loaded; none of them is.
  Status no_flags(const json& document) const {
    GYGES_TRY(std::vector<std::string> flags, strings(document, "flags", ""));
    if (!flags.empty())
      return bad("/flags", "the flag " + quoted(flags[0]) + " is not supported", "remove it");
    return ok();
  }

  // The sandbox runs x86-64 alone; what a file says of its sub-architectures opens nothing.
  Status architectures(const json& document) const {
    std::vector<std::string> names;
    GYGES_TRY(names, strings(document, "architectures", ""));
    bool stated = document.contains("architectures") && !names.empty();
    if (document.contains("archMap") && !document.at("archMap").is_null()) {
      GYGES_TRY(const json* map, array(document, "archMap", ""));
      for (const json& row : *map) {
        GYGES_CHECK(only_keys(row, "/archMap", {"architecture", "subArchitectures"}));
        stated = true;
        if (row.contains("architecture") && row.at("architecture").is_string())
          names.push_back(row.at("architecture").get<std::string>());
      }
    }
    if (stated && !contains(names, "SCMP_ARCH_X86_64"))
      return bad("", "is not for x86-64", "use a file that names SCMP_ARCH_X86_64");
    return ok();
  }

  Result<SeccompAction> action(const json& object, const char* key, const char* errno_key,
                               const std::string& place) const {
    SeccompAction result;
    if (!object.contains(key) || !object.at(key).is_string())
      return bad(place, std::string("has no ") + key, "state one, for example SCMP_ACT_ERRNO");
    auto name = object.at(key).get<std::string>();
    auto found = std::find_if(actions.begin(), actions.end(),
                              [&](const ActionName& row) { return row.name == name; });
    if (found == actions.end())
      return bad(place + "/" + key, "the action " + quoted(name) + " is not supported",
                 "use SCMP_ACT_ALLOW, _LOG, _ERRNO, _KILL, _KILL_PROCESS, _KILL_THREAD or _TRAP");
    result.kind = found->kind;
    if (result.kind != Kind::refuse) return result;
    result.code = EPERM;
    if (object.contains(errno_key) && !object.at(errno_key).is_null()) {
      GYGES_TRY(std::uint64_t code, number(object, errno_key, place, 4095));
      result.code = static_cast<int>(code);
    }
    return result;
  }

  // Whether a filter object holds for this policy and machine; all its parts must.
  Result<bool> holds(const json& filter, const std::string& place, bool excludes) const {
    GYGES_CHECK(only_keys(filter, place, {"caps", "arches", "minKernel"}));
    GYGES_TRY(std::vector<std::string> caps, strings(filter, "caps", place));
    GYGES_TRY(std::vector<std::string> arches, strings(filter, "arches", place));
    bool any_cap = std::any_of(caps.begin(), caps.end(), [&](const std::string& capability) {
      return contains(capabilities_, capability);
    });
    bool all_caps = std::all_of(caps.begin(), caps.end(), [&](const std::string& capability) {
      return contains(capabilities_, capability);
    });
    bool arch = contains(arches, "amd64") || contains(arches, "x86_64");
    std::optional<bool> kernel;
    if (filter.contains("minKernel")) {
      GYGES_TRY(kernel, kernel_at_least(filter.at("minKernel"), place));
    }
    // An exclusion acts when any part holds, an inclusion when all do.
    if (excludes) return any_cap || arch || kernel.value_or(false);
    return all_caps && (arches.empty() || arch) && kernel.value_or(true);
  }

  Result<bool> kernel_at_least(const json& value, const std::string& place) const {
    unsigned want_major = 0;
    unsigned want_minor = 0;
    char rest = 0;
    if (!value.is_string() || std::sscanf(value.get<std::string>().c_str(), "%u.%u%c", &want_major,
                                          &want_minor, &rest) != 2)
      return bad(place + "/minKernel", "is not of the form \"4.8\"", "correct it");
    utsname name{};
    unsigned major = 0;
    unsigned minor = 0;
    if (::uname(&name) != 0 || std::sscanf(name.release, "%u.%u", &major, &minor) != 2)
      return bad(place + "/minKernel", "this kernel's version cannot be read", "remove it");
    return major > want_major || (major == want_major && minor >= want_minor);
  }

  Result<std::vector<SeccompCondition>> conditions(const json& entry,
                                                   const std::string& place) const {
    std::vector<SeccompCondition> result;
    if (!entry.contains("args") || entry.at("args").is_null()) return result;
    GYGES_TRY(const json* list, array(entry, "args", place));
    for (const json& argument : *list) {
      std::string at = place + "/args/" + std::to_string(result.size());
      GYGES_CHECK(only_keys(argument, at, {"index", "value", "valueTwo", "op"}));
      for (const char* key : {"index", "value", "op"})
        if (!argument.contains(key)) return bad(at, std::string("has no ") + key, "state it");
      SeccompCondition condition;
      GYGES_TRY(std::uint64_t index, number(argument, "index", at, 5));
      condition.argument = static_cast<unsigned>(index);
      GYGES_TRY(condition.value, number(argument, "value", at, ~0ULL));
      if (argument.contains("valueTwo")) {
        GYGES_TRY(condition.second, number(argument, "valueTwo", at, ~0ULL));
      }
      auto found = std::find_if(comparisons.begin(), comparisons.end(), [&](const auto& row) {
        return argument.at("op").is_string() && row.name == argument.at("op").get<std::string>();
      });
      if (found == comparisons.end())
        return bad(at + "/op", "is no comparison",
                   "use SCMP_CMP_NE, _LT, _LE, _EQ, _GE, _GT or _MASKED_EQ");
      condition.compare = found->compare;
      result.push_back(condition);
    }
    return result;
  }

  Status entry(const json& value, const std::string& place, SeccompProfile& profile) {
    GYGES_CHECK(only_keys(value, place,
                          {"name", "names", "action", "errnoRet", "errno", "args", "comment",
                           "includes", "excludes"}));
    GYGES_TRY(SeccompAction what, action(value, "action", "errnoRet", place));
    GYGES_TRY(std::vector<SeccompCondition> all, conditions(value, place));
    GYGES_TRY(std::vector<std::string> names, strings(value, "names", place));
    if (value.contains("name") && value.at("name").is_string() &&
        !value.at("name").get<std::string>().empty())
      names.push_back(value.at("name").get<std::string>());
    if (names.empty()) return bad(place, "names no system call", "add names");
    if (value.contains("includes") && !value.at("includes").is_null()) {
      GYGES_TRY(bool included, holds(value.at("includes"), place + "/includes", false));
      if (!included) return ok();
    }
    if (value.contains("excludes") && !value.at("excludes").is_null()) {
      GYGES_TRY(bool excluded, holds(value.at("excludes"), place + "/excludes", true));
      if (excluded) return ok();
    }
    // Conditions on one argument twice are alternatives, as container runtimes read them.
    std::set<unsigned> indexes;
    for (const SeccompCondition& condition : all) indexes.insert(condition.argument);
    bool alternatives = indexes.size() < all.size();
    for (const std::string& name : names) {
      auto known = syscall_number(name);
      if (!known || *known < 0) continue;
      if (alternatives) {
        for (const SeccompCondition& condition : all)
          profile.rules.push_back({name, what, {condition}});
      } else {
        profile.rules.push_back({name, what, all});
      }
    }
    return ok();
  }

  std::string_view source_;
  const std::vector<std::string>& capabilities_;
};

}  // namespace

bool is_oci_profile(const json& document) {
  return document.is_object() && document.contains("defaultAction");
}

Status read_oci_profile(const json& document, std::string_view source,
                        const std::vector<std::string>& capabilities, SeccompProfile& profile) {
  profile.oci = true;
  return Reader(source, capabilities).read(document, profile);
}

}  // namespace gyges::isolation
