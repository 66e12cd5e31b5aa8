#include "sandbox/isolation/seccomp_library.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"

namespace gyges::isolation {

Status check_library(int code, std::string_view step, std::string_view object) {
  if (code < 0) return fail_errno(step, object, -code);
  return ok();
}

Result<FilterContext> new_filter_context(std::uint32_t default_action) {
  FilterContext context(seccomp_init(default_action), &seccomp_release);
  if (!context) return fail("make seccomp filter", "", "libseccomp gave none");
  // Also for i386, which the program of compile_argument_rules() kills; the stricter verdict holds.
  GYGES_CHECK(check_library(
      seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)),
      "set seccomp attribute", "bad architecture"));
  GYGES_CHECK(check_library(seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2),
                            "set seccomp attribute", "binary tree"));
  return context;
}

Result<std::string> program_of(const FilterContext& context) {
  UniqueFd fd(::memfd_create("filter", MFD_CLOEXEC));
  if (!fd) return fail_errno("make memory file", "filter");
  GYGES_CHECK(
      check_library(seccomp_export_bpf(context.get(), fd.get()), "compile seccomp filter", ""));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("rewind", "filter");
  return read_all(fd.get(), 4096UL * 8);
}

// SCMP_CMP_* of a condition of an OCI file.
scmp_arg_cmp comparison(const SeccompCondition& condition) {
  using Compare = SeccompCondition::Compare;
  scmp_compare op = SCMP_CMP_EQ;
  switch (condition.compare) {
    case Compare::not_equal:
      op = SCMP_CMP_NE;
      break;
    case Compare::less:
      op = SCMP_CMP_LT;
      break;
    case Compare::less_equal:
      op = SCMP_CMP_LE;
      break;
    case Compare::equal:
      op = SCMP_CMP_EQ;
      break;
    case Compare::greater_equal:
      op = SCMP_CMP_GE;
      break;
    case Compare::greater:
      op = SCMP_CMP_GT;
      break;
    case Compare::masked_equal:
      op = SCMP_CMP_MASKED_EQ;
      break;
  }
  return {condition.argument, op, condition.value, condition.second};
}

// libseccomp's word for an action of a profile.
std::uint32_t library_action(const SeccompAction& action) {
  return action.kind == SeccompAction::Kind::refuse
             ? SCMP_ACT_ERRNO(static_cast<unsigned>(action.code))
             : action.filter_value();
}

}  // namespace gyges::isolation
