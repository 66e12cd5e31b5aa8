// A recorder that opens in a thread of its own while the sandbox is set up: loading the kernel side
// takes milliseconds in which nothing of ours waits for it.
#include <fcntl.h>

#include <future>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "sandbox/recorder/slow_down.h"

namespace gyges::recorder {
namespace {

// The recorder once it is open; shared by the recorder's stand-in and its sessions.
class Opening {
 public:
  Opening(std::optional<Backend> choice, const RecorderOptions& options)
      : future_(std::async(std::launch::async,
                           [choice, options] { return Recorder::open(choice, options); })) {}

  // Waits for it; any number of times before end(), from any thread.
  Result<Recorder*> get() {
    const std::lock_guard lock(mutex_);
    if (future_.valid()) {
      opened_ = future_.get();
      if (opened_) backend_ = (*opened_)->backend();
    }
    if (!opened_) return tl::unexpected<Error>(opened_.error());
    return opened_->get();
  }
  // Takes it down again.
  void end() {
    const std::lock_guard lock(mutex_);
    opened_ = fail("record", "recorder", "its session is over", "open another one");
  }
  [[nodiscard]] Backend backend() {
    static_cast<void>(get());
    const std::lock_guard lock(mutex_);
    return backend_;
  }

 private:
  std::mutex mutex_;
  Backend backend_ = Backend::ptrace;
  Result<std::unique_ptr<Recorder>> opened_ = nullptr;
  std::future<Result<std::unique_ptr<Recorder>>> future_;
};

class AheadSession final : public SlowableSession {
 public:
  // The session too starts beside the sandbox: its first block and its tables take two
  // milliseconds.
  AheadSession(std::shared_ptr<Opening> opening, SessionOptions options)
      : opening_(std::move(opening)),
        starting_(std::async(std::launch::async,
                             [opening = opening_, options = std::move(options)]() -> Started {
                               GYGES_TRY(Recorder* const recorder, opening->get());
                               return recorder->start(options);
                             })) {}

  Status wait_until_open() override {
    if (session_ != nullptr) return ok();
    if (!starting_.valid())
      return fail("record", "session", "it could not be opened", "see the error before this one");
    GYGES_TRY(std::unique_ptr<Session> session, starting_.get());
    if (!filters_.empty()) GYGES_CHECK(session->expect_filters(filters_));
    if (quota_file_) GYGES_CHECK(recorder::slow_down_by(*session, {quota_file_.get(), quota_v2_}));
    session_ = std::move(session);
    return ok();
  }
  // Kept until it is open: the sandbox tells its filters early, and need not wait to do so.
  Status expect_filters(const std::vector<std::string>& programs) override {
    if (session_ != nullptr) return session_->expect_filters(programs);
    filters_ = programs;
    return ok();
  }
  Status slow_down_by(const CpuQuotaFile& quota) override {
    if (session_ != nullptr) return recorder::slow_down_by(*session_, quota);
    quota_file_.reset(fcntl(quota.file, F_DUPFD_CLOEXEC, 0));
    quota_v2_ = quota.v2;
    if (!quota_file_) return fail_errno("take processor quota", "descriptor");
    return ok();
  }
  Status adopt(int pidfd, pid_t pid, std::uint32_t tool_call) override {
    GYGES_CHECK(wait_until_open());
    return session_->adopt(pidfd, pid, tool_call);
  }
  Status tool_call_started(std::uint32_t tool_call, std::string_view tool) override {
    GYGES_CHECK(wait_until_open());
    return session_->tool_call_started(tool_call, tool);
  }
  Status tool_call_ended(std::uint32_t tool_call) override {
    GYGES_CHECK(wait_until_open());
    return session_->tool_call_ended(tool_call);
  }
  Status flush() override {
    GYGES_CHECK(wait_until_open());
    return session_->flush();
  }
  // Detaching the programs and giving the rings back takes two milliseconds, in which the bundle
  // can be sealed.
  Result<Coverage> close() override {
    GYGES_CHECK(wait_until_open());
    Result<Coverage> coverage = session_->close();
    session_.reset();
    ending_ = std::async(std::launch::async, [opening = opening_] { opening->end(); });
    return coverage;
  }

 private:
  using Started = Result<std::unique_ptr<Session>>;

  std::shared_ptr<Opening> opening_;
  std::future<Started> starting_;
  std::vector<std::string> filters_;
  UniqueFd quota_file_;
  bool quota_v2_ = false;
  std::unique_ptr<Session> session_;
  std::future<void> ending_;
};

class AheadRecorder final : public Recorder {
 public:
  explicit AheadRecorder(std::shared_ptr<Opening> opening) : opening_(std::move(opening)) {}

  [[nodiscard]] Backend backend() const override { return opening_->backend(); }
  Result<std::unique_ptr<Session>> start(const SessionOptions& options) override {
    if (std::exchange(started_, true))
      return fail("start recording", "session", "this recorder is for one session",
                  "open one for many with Recorder::open()");
    return std::make_unique<AheadSession>(opening_, options);
  }

 private:
  std::shared_ptr<Opening> opening_;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<Recorder> Recorder::open_ahead(std::optional<Backend> choice,
                                               const RecorderOptions& options) {
  return std::make_unique<AheadRecorder>(std::make_shared<Opening>(choice, options));
}

}  // namespace gyges::recorder
