#include "analysis/interchange/zip_archive.h"

#include <fcntl.h>
#include <minizip/unzip.h>
#include <minizip/zip.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>
#include <set>

#include "base/fd.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

constexpr unsigned long method_zstd = 93;  // APPNOTE.TXT 6.3.8
constexpr unsigned long flag_encrypted = 1;
constexpr std::size_t longest_name = 4096;

std::uint64_t little(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

Status read_at(int fd, std::uint64_t offset, std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    ssize_t got =
        pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read", "zip file");
    if (got == 0) return fail("read", "zip file", "it ends before the member does");
    done += static_cast<std::size_t>(got);
  }
  return ok();
}

}  // namespace

struct ZipWriter::State {
  std::filesystem::path file;
  std::filesystem::path partial;
  zipFile zip = nullptr;

  ~State() {
    if (zip == nullptr) return;
    zipClose(zip, nullptr);
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
  }
};

ZipWriter::ZipWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
ZipWriter::ZipWriter(ZipWriter&&) noexcept = default;
ZipWriter& ZipWriter::operator=(ZipWriter&&) noexcept = default;
ZipWriter::~ZipWriter() = default;

Result<ZipWriter> ZipWriter::create(const std::filesystem::path& file) {
  auto state = std::make_unique<State>();
  state->file = file;
  state->partial = file;
  state->partial += ".partial";
  state->zip = zipOpen64(state->partial.c_str(), APPEND_STATUS_CREATE);
  if (state->zip == nullptr) return fail_errno("create", state->partial.string());
  return ZipWriter(std::move(state));
}

Status ZipWriter::add(const std::string& name, std::string_view bytes) {
  zip_fileinfo info{};
  info.dosDate = (1U << 21U) | (1U << 16U);  // 1980-01-01
  bool large = bytes.size() >= std::numeric_limits<std::uint32_t>::max();
  int code = zipOpenNewFileInZip64(state_->zip, name.c_str(), &info, nullptr, 0, nullptr, 0,
                                   nullptr, Z_DEFLATED, 6, large ? 1 : 0);
  while (code == ZIP_OK && !bytes.empty()) {
    std::size_t size = std::min<std::size_t>(bytes.size(), 1U << 30U);
    code = zipWriteInFileInZip(state_->zip, bytes.data(), static_cast<unsigned>(size));
    bytes.remove_prefix(size);
  }
  if (code == ZIP_OK) code = zipCloseFileInZip(state_->zip);
  if (code == ZIP_OK) return ok();
  return fail("write", state_->partial.string(), "member " + name + " could not be written",
              "is the disk full?");
}

Status ZipWriter::finish() {
  int code = zipClose(state_->zip, nullptr);
  state_->zip = nullptr;
  std::error_code error;
  if (code == ZIP_OK) {
    std::filesystem::rename(state_->partial, state_->file, error);
    if (error) return fail_errno("write", state_->file.string(), error.value());
    return ok();
  }
  std::filesystem::remove(state_->partial, error);
  return fail("write", state_->file.string(), "it could not be completed", "is the disk full?");
}

struct ZipReader::State {
  std::filesystem::path file;
  UniqueFd fd;
  unzFile zip = nullptr;

  ~State() {
    if (zip != nullptr) unzClose(zip);
  }

  [[nodiscard]] tl::unexpected<Error> damaged(const std::string& name,
                                              std::string_view reason) const {
    return fail("read", file.string() + (name.empty() ? "" : ": " + printable(name)), reason,
                "the file is damaged or was written only in part; export or copy it again");
  }

  Result<unz_file_info64> current(std::string& name) const {
    unz_file_info64 info{};
    std::string buffer(longest_name + 1, '\0');
    if (unzGetCurrentFileInfo64(zip, &info, buffer.data(), longest_name + 1, nullptr, 0, nullptr,
                                0) != UNZ_OK)
      return damaged("", "its directory is damaged");
    if (info.size_filename == 0 || info.size_filename > longest_name)
      return damaged("", "a member has no sensible name");
    name = buffer.substr(0, info.size_filename);
    return info;
  }

  Result<std::string> read_current() const {
    std::string name;
    GYGES_TRY(unz_file_info64 info, current(name));
    if ((info.flag & flag_encrypted) != 0) return damaged(name, "it is encrypted");
    if (info.uncompressed_size > max_zip_member_bytes)
      return damaged(name, "it is larger than 512 MiB");
    if (info.compression_method == method_zstd) return read_zstd(name, info);
    if (info.compression_method != 0 && info.compression_method != Z_DEFLATED)
      return damaged(name, "compression method " + std::to_string(info.compression_method) +
                               " is none of stored, deflate and zstd");
    if (unzOpenCurrentFile(zip) != UNZ_OK) return damaged(name, "its header is damaged");
    std::string bytes(info.uncompressed_size, '\0');
    std::size_t done = 0;
    int got = 0;
    while (done < bytes.size() &&
           (got = unzReadCurrentFile(zip, bytes.data() + done,
                                     static_cast<unsigned>(bytes.size() - done))) > 0)
      done += static_cast<std::size_t>(got);
    // The checksum is compared at the end of the stream, which has to be read for it.
    char more = 0;
    bool longer = got >= 0 && done == bytes.size() && unzReadCurrentFile(zip, &more, 1) > 0;
    int closed = unzCloseCurrentFile(zip);
    if (got < 0 || done != bytes.size()) return damaged(name, "its data are damaged or cut off");
    if (longer) return damaged(name, "it is longer than its directory says");
    if (closed != UNZ_OK) return damaged(name, "its checksum is wrong");
    return bytes;
  }

  // minizip knows the method by name only, so the data are found by the two headers.
  Result<std::string> read_zstd(const std::string& name, const unz_file_info64& info) const {
    std::string entry(46, '\0');
    std::uint64_t at = unzGetOffset64(zip);
    if (!read_at(fd.get(), at, entry)) return damaged(name, "its directory is damaged");
    std::uint64_t start = little(entry, 42, 4);
    if (little(entry, 0, 4) != 0x02014b50 || start == 0xffffffff)
      return damaged(name, "its place in the file is not told in 32 bits");
    std::string header(30, '\0');
    if (!read_at(fd.get(), start, header) || little(header, 0, 4) != 0x04034b50)
      return damaged(name, "its header is damaged");
    struct stat whole {};
    if (fstat(fd.get(), &whole) != 0) return fail_errno("look at", file.string());
    if (info.compressed_size > static_cast<std::uint64_t>(whole.st_size))
      return damaged(name, "its data are cut off");
    std::string packed(info.compressed_size, '\0');
    if (!read_at(fd.get(), start + 30 + little(header, 26, 2) + little(header, 28, 2), packed))
      return damaged(name, "its data are cut off");
    std::string bytes(info.uncompressed_size, '\0');
    std::size_t got = ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size());
    if (ZSTD_isError(got) != 0 || got != bytes.size())
      return damaged(name, "its data are damaged or cut off");
    if (crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()) != info.crc)
      return damaged(name, "its checksum is wrong");
    return bytes;
  }
};

ZipReader::ZipReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ZipReader::ZipReader(ZipReader&&) noexcept = default;
ZipReader& ZipReader::operator=(ZipReader&&) noexcept = default;
ZipReader::~ZipReader() = default;

Result<ZipReader> ZipReader::open(const std::filesystem::path& file) {
  auto state = std::make_unique<State>();
  state->file = file;
  state->fd = UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!state->fd) return fail_errno("open", file.string());
  struct stat info {};
  if (fstat(state->fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return fail("open", file.string(), "it is no regular file");
  state->zip = unzOpen64(file.c_str());
  if (state->zip == nullptr)
    return state->damaged("", "it is no zip file, or its directory at the end is missing");
  return ZipReader(std::move(state));
}

Result<std::vector<ZipMember>> ZipReader::members() {
  unz_global_info64 all{};
  if (unzGetGlobalInfo64(state_->zip, &all) != UNZ_OK)
    return state_->damaged("", "its directory is damaged");
  if (all.number_entry > max_zip_members)
    return state_->damaged("", "it has more than a million members");
  std::vector<ZipMember> members;
  std::set<std::string> names;
  if (all.number_entry == 0) return members;
  int code = unzGoToFirstFile(state_->zip);
  for (; code == UNZ_OK; code = unzGoToNextFile(state_->zip)) {
    ZipMember member;
    GYGES_TRY(unz_file_info64 info, state_->current(member.name));
    member.size = info.uncompressed_size;
    unz64_file_pos position{};
    if (unzGetFilePos64(state_->zip, &position) != UNZ_OK)
      return state_->damaged(member.name, "its directory is damaged");
    member.place = {position.pos_in_zip_directory, position.num_of_file};
    // Readers differ in which of the two they take.
    if (!names.insert(member.name).second)
      return state_->damaged(member.name, "the name occurs twice");
    members.push_back(std::move(member));
  }
  if (code != UNZ_END_OF_LIST_OF_FILE || members.size() != all.number_entry)
    return state_->damaged("", "its directory is damaged");
  return members;
}

Result<std::string> ZipReader::read(const std::string& name) {
  if (unzLocateFile(state_->zip, name.c_str(), 1) != UNZ_OK)
    return state_->damaged(name, "there is no such member");
  return state_->read_current();
}

Result<std::string> ZipReader::read(const ZipPlace& place) {
  unz64_file_pos position{place.directory_offset, place.number};
  if (unzGoToFilePos64(state_->zip, &position) != UNZ_OK)
    return state_->damaged("", "its directory is damaged");
  return state_->read_current();
}

}  // namespace gyges::analysis
