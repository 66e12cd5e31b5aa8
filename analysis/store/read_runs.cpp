#include "analysis/store/read_runs.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace gyges::analysis {

std::vector<std::optional<Result<StoredRun>>> read_runs(const std::vector<FoundBundle>& bundles,
                                                        const ReadOptions& options) {
  std::vector<std::optional<Result<StoredRun>>> results(bundles.size());
  std::atomic<std::size_t> next{0};
  std::size_t done = 0;
  std::mutex reporting;
  auto work = [&] {
    for (std::size_t i = next++; i < bundles.size(); i = next++) {
      results[i].emplace(options.store != nullptr ? options.store->read(bundles[i])
                                                  : read_run(bundles[i]));
      std::scoped_lock lock(reporting);
      if (options.progress) options.progress(++done, bundles.size());
    }
  };
  unsigned threads = options.threads != 0 ? options.threads
                                          : std::clamp(std::thread::hardware_concurrency(), 1U, 8U);
  std::vector<std::thread> pool;
  for (unsigned i = 1; i < threads && i < bundles.size(); ++i) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
  if (options.store != nullptr) options.store->flush();
  return results;
}

}  // namespace gyges::analysis
