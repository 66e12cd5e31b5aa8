// The output of one call: a window of it for the model and, where it does not fit the window, the
// whole of it as a file named by its hash.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/hash.h"
#include "tools/output_window.h"

namespace gyges::tools {

// Where whole outputs go: the blobs of one run. Thread-safe; an Output is used by one thread.
class OutputStore {
 public:
  static constexpr std::uint64_t default_output_bytes = 64U << 20U;
  static constexpr std::uint64_t default_run_bytes = 512U << 20U;

  // Keeps at most `output_bytes` of one output and `run_bytes` of all; an agent can write without
  // end, and the disk is the supervisor's. `directory` exists.
  explicit OutputStore(std::filesystem::path directory,
                       std::uint64_t output_bytes = default_output_bytes,
                       std::uint64_t run_bytes = default_run_bytes)
      : directory_(std::move(directory)), output_bytes_(output_bytes), left_(run_bytes) {}

 private:
  friend class Output;
  std::filesystem::path directory_;
  std::uint64_t output_bytes_;
  // Takes up to `bytes` of what is left.
  std::uint64_t take(std::uint64_t bytes);
  std::atomic<std::uint64_t> left_;
  std::atomic<std::uint32_t> last_ = 0;  // number of the output that was begun last
};

struct KeptOutput {
  std::string sha256;  // of what was kept, in hex: the name of the blob
  std::uint64_t bytes = 0;
  bool complete = true;  // false: it is the beginning of the output, the limits of the store came
};

class Output {
 public:
  // `store` is borrowed; null: what does not fit the window is discarded.
  Output(std::size_t window_bytes, OutputStore* store)
      : window_(window_bytes), window_bytes_(window_bytes), store_(store) {}
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void append(std::string_view bytes);

  [[nodiscard]] const OutputWindow& window() const { return window_; }

  // The blob; nullopt where all of it is in the window, or nothing could be kept. `problem()` says
  // why in the second case. Once.
  std::optional<KeptOutput> finish();
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  void keep(std::string_view bytes);

  OutputWindow window_;
  std::size_t window_bytes_;
  OutputStore* store_;
  std::filesystem::path partial_;
  UniqueFd file_;
  Sha256Hasher hasher_;
  std::uint64_t kept_ = 0;
  bool cut_ = false;
  std::string problem_;
};

}  // namespace gyges::tools
