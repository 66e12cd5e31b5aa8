#include "sandbox/isolation/pool.h"

#include <fmt/format.h>
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "sandbox/isolation/sandbox_state.h"

namespace gyges::isolation {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

// The kernel kills a sandbox when the thread that started it ends (PR_SET_PDEATHSIG is about
// threads). So one thread starts all members and lives until the pool and every sandbox taken from
// it are gone; each of them shares this object.
class SandboxPool::Members {
 public:
  // `refill` keeps `size` members ready; otherwise so many are made in all, which serve for
  // `longest_wait`.
  Members(SandboxSpec spec, std::uint32_t size, bool refill, Clock::duration longest_wait)
      : spec_(std::move(spec)), size_(size), refill_(refill), longest_wait_(longest_wait) {
    spec_.prepared = true;
    spec_.session = nullptr;
    // Signals are for the caller's threads.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { fill(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Members() {
    close();
    {
      std::scoped_lock lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  // No more members: the pool is gone.
  void close() {
    std::deque<Member> waiting;
    {
      std::unique_lock lock(mutex_);
      closed_ = true;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !starting_; });
      waiting.swap(ready_);
    }
  }

  // Waits for the first member, or for why there is none.
  Status first() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !ready_.empty() || failure_; });
    if (failure_) return tl::unexpected<Error>(*failure_);
    return ok();
  }

  // Null where none is ready, nor will be without being taken for.
  std::unique_ptr<Sandbox> take() {
    std::unique_ptr<Sandbox> found;
    std::deque<Member> dead;  // destroyed without the lock
    {
      std::unique_lock lock(mutex_);
      if (!refill_) changed_.wait(lock, [&] { return !ready_.empty() || failure_ || !wanted(); });
      while (!found && !ready_.empty()) {
        Member next = std::move(ready_.front());
        ready_.pop_front();
        if (next.sandbox->alive() && Clock::now() - next.since <= longest_wait_) {
          found = std::move(next.sandbox);
          continue;
        }
        ++counts_.dead;
        dead.push_back(std::move(next));
      }
      ++(found ? counts_.warm : counts_.cold);
      failure_.reset();  // what was missing may be there again
    }
    changed_.notify_all();
    return found;
  }

  [[nodiscard]] Counts counts() const {
    std::scoped_lock lock(mutex_);
    Counts counts = counts_;
    counts.ready = static_cast<std::uint32_t>(ready_.size());
    return counts;
  }

  [[nodiscard]] const SandboxSpec& spec() const { return spec_; }

 private:
  struct Member {
    std::unique_ptr<Sandbox> sandbox;
    Clock::time_point since;  // it began to be
  };

  // Whether another member is to be made.
  [[nodiscard]] bool wanted() const {
    return starting_ || (refill_ ? ready_.size() : made_) < size_;
  }

  void fill() {
    std::unique_lock lock(mutex_);
    while (!ending_) {
      if (closed_ || failure_ || !wanted()) {
        changed_.wait(lock);
        continue;
      }
      starting_ = true;
      ++made_;
      lock.unlock();
      const auto since = Clock::now();
      auto made = Sandbox::start(spec_);
      lock.lock();
      starting_ = false;
      if (made)
        ready_.push_back({std::move(*made), since});
      else
        failure_ = std::move(made.error());
      changed_.notify_all();
    }
  }

  SandboxSpec spec_;
  std::uint32_t size_;
  bool refill_;
  Clock::duration longest_wait_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Member> ready_;
  std::optional<Error> failure_;  // filling stops until the next take()
  Counts counts_;
  std::uint64_t made_ = 0;  // or tried
  bool starting_ = false;
  bool closed_ = false;
  bool ending_ = false;
  std::thread thread_;
};

SandboxPool::SandboxPool(std::shared_ptr<Members> members) : members_(std::move(members)) {}

SandboxPool::~SandboxPool() {
  members_->close();
}

Result<std::unique_ptr<SandboxPool>> SandboxPool::create(SandboxSpec spec, std::uint32_t size) {
  if (size == 0 || size > max_size)
    return fail("make pool of sandboxes", std::to_string(size), "is not a size of a pool",
                fmt::format("ask for 1 to {} sandboxes", max_size));
  if (spec.session != nullptr)
    return fail("make pool of sandboxes", spec.policy.name, "its members share a recording session",
                "give the session to take()");
  auto members = std::make_shared<Members>(std::move(spec), size, true, Clock::duration::max());
  GYGES_CHECK(members->first().with_context("make pool of sandboxes"));
  return std::unique_ptr<SandboxPool>(new SandboxPool(std::move(members)));
}

std::unique_ptr<SandboxPool> SandboxPool::ahead(SandboxSpec spec,
                                                std::chrono::milliseconds longest_wait) {
  return std::unique_ptr<SandboxPool>(
      new SandboxPool(std::make_shared<Members>(std::move(spec), 1, false, longest_wait)));
}

Result<std::unique_ptr<Sandbox>> SandboxPool::take(recorder::Session* session) {
  std::unique_ptr<Sandbox> sandbox = members_->take();
  if (sandbox) {
    sandbox->state_->parent = members_;
    // A member that died since is the one case in which this fails.
    if (sandbox->begin(session)) return sandbox;
  }
  SandboxSpec spec = members_->spec();
  spec.prepared = false;
  spec.session = session;
  return Sandbox::start(spec);
}

SandboxPool::Counts SandboxPool::counts() const {
  return members_->counts();
}

}  // namespace gyges::isolation
