#include "sandbox/network/http/aside_hashing.h"

#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "sandbox/network/http/broken.h"

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
    if (job.pipe < 0)
      job.hasher->update(job.bytes);
    else
      hash_piped(job, buffers_[next % pieces]);
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
  return give({&hasher, bytes});
}

std::uint64_t AsideHashing::hash_piped(Sha256Hasher& hasher, int pipe, std::size_t bytes) {
  (void)piece();  // the job's place is free, and its buffer, into which the thread reads
  return give({&hasher, {}, pipe, bytes});
}

std::uint64_t AsideHashing::give(const Job& job) {
  const std::uint64_t next = given_.load(std::memory_order_relaxed);
  jobs_[next % pieces] = job;
  given_.store(next + 1, std::memory_order_release);
  given_.notify_one();
  return next + 1;
}

void AsideHashing::hash_piped(const Job& job, std::array<char, piece_bytes>& buffer) {
  constexpr std::size_t step = 65536;  // still in the processor's cache when it is hashed
  for (std::size_t left = job.piped; left > 0;) {
    ssize_t n = ::read(job.pipe, buffer.data(), std::min(left, step));
    if (n <= 0) end_broken(Broken::pages_not_hashed);
    job.hasher->update({buffer.data(), static_cast<std::size_t>(n)});
    left -= static_cast<std::size_t>(n);
  }
}

void AsideHashing::settle(std::uint64_t job) const {
  for (std::uint64_t done = done_.load(std::memory_order_acquire); done < job;
       done = done_.load(std::memory_order_acquire))
    done_.wait(done, std::memory_order_acquire);
}

}  // namespace gyges::network
