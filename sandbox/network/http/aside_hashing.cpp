#include "sandbox/network/http/aside_hashing.h"

#include <system_error>
#include <thread>

namespace gyges::network {

AsideHashing& AsideHashing::instance() {
  static AsideHashing all;
  return all;
}

void AsideHashing::start() {
  if (running_ || std::thread::hardware_concurrency() < 2) return;
  try {
    std::thread([this] {
      begun_.store(true);
      begun_.notify_one();
      run();
    }).detach();
  } catch (const std::system_error&) {
    return;
  }
  begun_.wait(false);
  running_ = true;
}

void AsideHashing::run() {
  for (std::uint64_t next = 0;; ++next) {
    given_.wait(next, std::memory_order_acquire);
    const Job& job = jobs_[next % pieces];
    job.hasher->update(job.bytes);
    done_.store(next + 1, std::memory_order_release);
    done_.notify_one();
  }
}

std::array<char, AsideHashing::piece_bytes>& AsideHashing::piece() {
  const std::uint64_t next = given_.load(std::memory_order_relaxed);
  if (next >= pieces) settle(next - pieces + 1);
  return buffers_[next % pieces];
}

std::uint64_t AsideHashing::hash(Sha256Hasher& hasher, std::string_view bytes) {
  const std::uint64_t next = given_.load(std::memory_order_relaxed);
  if (!running_ || bytes.size() < least_bytes || bytes.data() != buffers_[next % pieces].data())
    return 0;
  jobs_[next % pieces] = {&hasher, bytes};
  given_.store(next + 1, std::memory_order_release);
  given_.notify_one();
  return next + 1;
}

void AsideHashing::settle(std::uint64_t job) const {
  for (std::uint64_t done = done_.load(std::memory_order_acquire); done < job;
       done = done_.load(std::memory_order_acquire))
    done_.wait(done, std::memory_order_acquire);
}

}  // namespace gyges::network
