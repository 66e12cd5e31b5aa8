#include "sandbox/recorder/format/bundle.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/files.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::recorder {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view seal_name = "seal.json";
constexpr std::string_view trace_name = "trace.gyt";

struct FileFacts {
  std::uint64_t size = 0;
  std::string sha256;
  bool regular = true;
};

// Hash of a regular file, never through a symbolic link and never waiting on a fifo.
Result<FileFacts> facts_of(const fs::path& path) {
  FileFacts facts;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!fd && (errno == ELOOP || errno == ENXIO)) {
    facts.regular = false;
    return facts;
  }
  if (!fd) return fail_errno("read bundle", path.string());
  if (::fstat(fd.get(), &status) != 0) return fail_errno("read bundle", path.string());
  if (!S_ISREG(status.st_mode)) {
    facts.regular = false;
    return facts;
  }
  GYGES_TRY(Sha256 hash, sha256_of_fd(fd.get()));
  facts.size = static_cast<std::uint64_t>(status.st_size);
  facts.sha256 = to_hex(hash);
  return facts;
}

using FileList = std::map<std::string, FileFacts>;

// Every file below `directory` except the seal, by relative path. Directories are not listed: an
// empty one says nothing.
Result<FileList> list_files(const fs::path& directory) {
  FileList files;
  std::error_code error;
  fs::recursive_directory_iterator at(directory, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    fs::file_status status = at->symlink_status(error);
    if (error) break;
    if (status.type() == fs::file_type::directory) continue;
    std::string relative = at->path().lexically_relative(directory).string();
    if (relative == seal_name) continue;
    GYGES_TRY(FileFacts facts, facts_of(at->path()));
    files.emplace(std::move(relative), std::move(facts));
  }
  if (error) return fail_errno("read bundle", directory.string(), error.value());
  return files;
}

Result<nlohmann::json> chain_head_of(const fs::path& directory, const FileList& files) {
  if (files.find(std::string(trace_name)) == files.end()) return nlohmann::json(nullptr);
  GYGES_TRY(TraceReader reader, TraceReader::open(directory / trace_name));
  return nlohmann::json(to_hex(reader.chain_head()));
}

// What is wrong with a trace whose bytes are not those of the seal: the first bad byte where the
// running hash shows it.
std::string trace_fault(const fs::path& path, std::string_view sealed_head) {
  auto reader = TraceReader::open(path);
  if (!reader) return "changed: " + reader.error().line();
  if (reader->damage())
    return fmt::format("changed: block {} at byte {}: {}", reader->damage()->block,
                       reader->damage()->offset, reader->damage()->reason);
  if (to_hex(reader->chain_head()) != sealed_head)
    return "changed: another trace, whole in itself, with another chain head";
  return "changed";
}

}  // namespace

Result<BundleWriter> BundleWriter::create(const fs::path& directory) {
  std::error_code error;
  if (fs::exists(directory, error)) {
    bool empty = fs::is_directory(directory, error) && fs::is_empty(directory, error);
    if (error) return fail_errno("create bundle", directory.string(), error.value());
    if (!empty)
      return fail("create bundle", directory.string(), "it exists and is not an empty directory",
                  "name a new directory");
  }
  for (const fs::path& path : {directory, directory / "blobs", directory / "files"}) {
    fs::create_directories(path, error);
    if (error) return fail_errno("create bundle", path.string(), error.value());
  }
  return BundleWriter(directory);
}

Result<std::string> BundleWriter::add_blob(std::string_view bytes) {
  std::string name = to_hex(sha256(bytes));
  fs::path path = directory_ / "blobs" / name;
  std::error_code error;
  if (!fs::exists(path, error)) GYGES_CHECK(write_file_atomically(path, bytes));
  return name;
}

Status BundleWriter::finish(const nlohmann::json& run) {
  GYGES_CHECK(validate_json(run, "run", (directory_ / "run.json").string()));
  // Texts that came from inside a sandbox need not be UTF-8; they are kept readable, not verbatim.
  std::string text = run.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  GYGES_CHECK(write_file_atomically(directory_ / "run.json", text + "\n"));
  GYGES_TRY(FileList files, list_files(directory_));
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [path, facts] : files) {
    if (!facts.regular)
      return fail("seal bundle", (directory_ / path).string(), "it is no regular file");
    list.push_back({{"path", path}, {"size", facts.size}, {"sha256", facts.sha256}});
  }
  GYGES_TRY(nlohmann::json head, chain_head_of(directory_, files));
  nlohmann::json seal{{"$schema", "gyges/seal.schema.json"},
                      {"version", 1},
                      {"files", std::move(list)},
                      {"trace_chain_head", std::move(head)}};
  std::string seal_text;
  try {
    seal_text = seal.dump(1);
  } catch (const nlohmann::json::exception& error) {
    return fail("seal bundle", directory_.string(),
                fmt::format("a file name cannot be written as text: {}", error.what()));
  }
  return write_file_atomically(directory_ / seal_name, seal_text + "\n");
}

Result<std::vector<BundleFault>> verify_bundle(const fs::path& directory) {
  GYGES_TRY(nlohmann::json seal, load_json(directory / seal_name, "seal"));
  GYGES_TRY(FileList files, list_files(directory));
  std::vector<BundleFault> faults;
  const nlohmann::json& head = seal["trace_chain_head"];
  std::string sealed_head = head.is_string() ? head.get<std::string>() : "";
  for (const nlohmann::json& sealed : seal["files"]) {
    auto path = sealed["path"].get<std::string>();
    // Only looked up among the files found, never opened: a seal may name anything.
    auto found = files.find(path);
    if (found == files.end()) {
      faults.push_back({path, "missing"});
      continue;
    }
    const FileFacts& facts = found->second;
    if (!facts.regular) {
      faults.push_back({path, "replaced by something that is no regular file"});
    } else if (facts.sha256 != sealed["sha256"].get<std::string>()) {
      if (path == trace_name)
        faults.push_back({path, trace_fault(directory / path, sealed_head)});
      else if (facts.size != sealed["size"].get<std::uint64_t>())
        faults.push_back({path, fmt::format("changed: {} bytes instead of {}", facts.size,
                                            sealed["size"].get<std::uint64_t>())});
      else
        faults.push_back({path, "changed"});
    } else if (facts.size != sealed["size"].get<std::uint64_t>()) {
      faults.push_back({path, "the seal states another size"});
    } else if (path == trace_name) {
      // Unchanged since the seal; but the seal itself must speak of this trace, and a trace sealed
      // unfinished is a fault all the same.
      auto reader = TraceReader::open(directory / path);
      if (!reader || reader->damage() || to_hex(reader->chain_head()) != sealed_head)
        faults.push_back({path, trace_fault(directory / path, sealed_head)});
    }
    files.erase(found);
  }
  for (const auto& [path, facts] : files) faults.push_back({path, "not in the seal"});
  std::sort(faults.begin(), faults.end(),
            [](const BundleFault& a, const BundleFault& b) { return a.file < b.file; });
  return faults;
}

}  // namespace gyges::recorder
