// Zip files of logs: written with deflate, read with stored, deflated and zstd members (what
// Inspect writes), through minizip. Whatever comes from a file is bounded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::analysis {

inline constexpr std::uint64_t max_zip_member_bytes = 512ULL << 20U;
inline constexpr std::uint64_t max_zip_members = 1'000'000;

// The same members in the same order give the same bytes: members carry no time of writing.
class ZipWriter {
 public:
  // Writes beside `file`; finish() renames over it. Without finish() nothing is left.
  static Result<ZipWriter> create(const std::filesystem::path& file);
  ZipWriter(ZipWriter&&) noexcept;
  ZipWriter& operator=(ZipWriter&&) noexcept;
  ~ZipWriter();

  Status add(const std::string& name, std::string_view bytes);
  Status finish();

 private:
  struct State;
  explicit ZipWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Where a member stands, so that it need not be looked for again.
struct ZipPlace {
  std::uint64_t directory_offset = 0;
  std::uint64_t number = 0;
};

struct ZipMember {
  std::string name;
  std::uint64_t size = 0;  // uncompressed
  ZipPlace place;
};

// Not thread-safe; one owner.
class ZipReader {
 public:
  static Result<ZipReader> open(const std::filesystem::path& file);
  ZipReader(ZipReader&&) noexcept;
  ZipReader& operator=(ZipReader&&) noexcept;
  ~ZipReader();

  // In the order of the directory. Encrypted members and names that occur twice are errors.
  Result<std::vector<ZipMember>> members();
  // Whole and with the right checksum, or an error that names the member.
  Result<std::string> read(const std::string& name);
  Result<std::string> read(const ZipPlace& place);

 private:
  struct State;
  explicit ZipReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::analysis
