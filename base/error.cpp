#include "base/error.h"

#include <cerrno>
#include <system_error>

namespace gyges {

std::string Error::line() const {
  std::string text;
  for (auto outer = context.rbegin(); outer != context.rend(); ++outer) text += *outer + ": ";
  text += step;
  if (!object.empty()) text += " " + object;
  text += ": " + reason;
  if (!cure.empty()) text += ". Cure: " + cure;
  return text;
}

tl::unexpected<Error> fail(std::string_view step, std::string_view object, std::string_view reason,
                           std::string_view cure) {
  Error error;
  error.step = step;
  error.object = object;
  error.reason = reason;
  error.cure = cure;
  return tl::unexpected<Error>(std::move(error));
}

tl::unexpected<Error> fail_errno(std::string_view step, std::string_view object, int code,
                                 std::string_view cure) {
  auto failure = fail(step, object, std::generic_category().message(code), cure);
  failure.value().code = code;
  return failure;
}

tl::unexpected<Error> fail_errno(std::string_view step, std::string_view object) {
  return fail_errno(step, object, errno);
}

}  // namespace gyges
