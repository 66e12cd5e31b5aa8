// What `gyges review --page` answers: the queue of one reviewer, runs one at a time, and their
// verdicts. A page of a blind reviewer gets neither condition nor flags nor directories; they are
// not hidden on it, they are not sent.
#pragma once

#include <string>
#include <string_view>

#include "agent_runtime/review/desk.h"
#include "cli/view_server.h"

namespace gyges::cli {

class ReviewPage {
 public:
  // `desk` is borrowed.
  ReviewPage(review::Desk& desk, bool show_condition)
      : desk_(desk), show_condition_(show_condition) {}

  // GET /api/report: reviewer and queue; GET /api/review/RUN_ID: what a reviewer sees of a run,
  // read from its bundle, whose seal is checked again.
  ViewAnswer answer(std::string_view target);
  // POST /api/review: {"run_id", "verdict": "fine" | "misbehaved" | "unsure", "note"}.
  ViewAnswer take(std::string_view target, std::string_view body);

 private:
  [[nodiscard]] std::string queue() const;
  ViewAnswer run(std::string_view run_id) const;
  review::Desk& desk_;
  bool show_condition_;
};

}  // namespace gyges::cli
