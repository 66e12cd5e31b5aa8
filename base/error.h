// The one error type of Gyges and the result that carries it.
//
// An Error says what was being done (step), to what (object), why it failed (reason) and what the
// reader can do about it (cure). Callers add the outer steps as context. Library code never prints
// and never exits; the command line prints Error::line() once and turns it into an exit status.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace gyges {

struct Error {
  std::string step;                  // "mount", "read policy": a verb phrase
  std::string object;                // the file, place, path or name concerned; may be empty
  std::string reason;                // why, in words; for system calls the text of errno
  std::string cure;                  // what to do; may be empty
  int code = 0;                      // errno where the reason is a failed system call, else 0
  std::vector<std::string> context;  // outer steps, innermost first

  // One line for a person: "start sandbox: mount /proc: Operation not permitted. Cure: ...".
  [[nodiscard]] std::string line() const;
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
  using Base = tl::expected<T, Error>;

 public:
  using Base::Base;
  Result(Base base) : Base(std::move(base)) {}

  // Adds an outer step to the error, if there is one.
  Result&& with_context(std::string_view step) && {
    if (!this->has_value()) this->error().context.emplace_back(step);
    return std::move(*this);
  }
};

using Status = Result<void>;

inline Status ok() {
  return {};
}

[[nodiscard]] tl::unexpected<Error> fail(std::string_view step, std::string_view object,
                                         std::string_view reason, std::string_view cure = {});

// As fail(), with the text of `code` (an errno value) as the reason.
[[nodiscard]] tl::unexpected<Error> fail_errno(std::string_view step, std::string_view object,
                                               int code, std::string_view cure = {});

// As fail_errno() with the current errno.
[[nodiscard]] tl::unexpected<Error> fail_errno(std::string_view step, std::string_view object);

}  // namespace gyges

#define GYGES_CONCAT_(a, b) a##b
#define GYGES_CONCAT(a, b) GYGES_CONCAT_(a, b)

// GYGES_TRY(auto value, expression): value of the Result, or return its error.
#define GYGES_TRY(declaration, ...)                                                            \
  auto GYGES_CONCAT(result_, __LINE__) = (__VA_ARGS__);                                        \
  if (!GYGES_CONCAT(result_, __LINE__))                                                        \
    return tl::unexpected<::gyges::Error>(std::move(GYGES_CONCAT(result_, __LINE__).error())); \
  declaration = std::move(*GYGES_CONCAT(result_, __LINE__))

// GYGES_CHECK(expression): return the error of a Status, if it has one.
#define GYGES_CHECK(...)                                                                         \
  do {                                                                                           \
    auto gyges_status_ = (__VA_ARGS__);                                                          \
    if (!gyges_status_) return tl::unexpected<::gyges::Error>(std::move(gyges_status_.error())); \
  } while (false)
