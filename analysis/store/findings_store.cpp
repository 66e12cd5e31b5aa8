#include "analysis/store/findings_store.h"

#include <link.h>
#include <sys/stat.h>
#include <zstd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "analysis/interchange/inspect_log.h"
#include "analysis/store/bundle_stamp.h"
#include "base/hash.h"
#include "base/sqlite.h"
#include "sandbox/recorder/format/bundle.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_pending = 256;
constexpr std::size_t most_pending_bytes = 16U << 20U;
constexpr std::uint64_t largest_findings = 256U << 20U;

constexpr std::int64_t store_version = 1;  // as PRAGMA user_version below
constexpr char store_schema[] = R"sql(
CREATE TABLE IF NOT EXISTS verified (
  bundle TEXT PRIMARY KEY,
  stamp TEXT NOT NULL,
  seal TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS findings (
  seal TEXT PRIMARY KEY,
  definition TEXT NOT NULL,
  found BLOB NOT NULL
);
PRAGMA user_version = 1;
)sql";

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string packed_findings(const std::string& bytes) {
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  std::size_t size =
      ZSTD_compress2(context.get(), packed.data(), packed.size(), bytes.data(), bytes.size());
  packed.resize(ZSTD_isError(size) != 0 ? 0 : size);
  return packed;
}

// Empty where the bytes are damaged.
std::string unpacked_findings(std::string_view packed) {
  unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > largest_findings)
    return {};
  std::string bytes(size, '\0');
  std::size_t got = ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) != 0 || got != size) return {};
  return bytes;
}

// The note that the linker writes, of the first object in the list: the program itself.
int find_build_id(dl_phdr_info* info, std::size_t, void* found) {
  auto& id = *static_cast<std::string*>(found);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
    const char* end = at + header.p_memsz;
    while (end - at > static_cast<std::ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const char* name = at + sizeof note;
      const char* description = name + ((note.n_namesz + 3U) & ~3U);
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
          std::memcmp(name, "GNU", 4) == 0 && description + note.n_descsz <= end)
        id.assign(description, note.n_descsz);
      at = description + ((note.n_descsz + 3U) & ~3U);
    }
  }
  return 1;
}

// `problem` is the line of an error, which may name the object and its own cure.
tl::unexpected<Error> unreadable(std::string_view step, const std::string& object,
                                 std::string problem, std::string_view cure) {
  if (std::size_t at = problem.find(object + ": "); at != std::string::npos)
    problem.erase(0, at + object.size() + 2);
  return fail(step, object, problem, problem.find(". Cure: ") == std::string::npos ? cure : "");
}

tl::unexpected<Error> unfit(const std::vector<recorder::BundleFault>& faults) {
  return fail(
      "verify seal", faults[0].file,
      faults[0].reason +
          (faults.size() > 1 ? " (" + std::to_string(faults.size()) + " faults)" : std::string()),
      "see gyges verify");
}

}  // namespace

Result<std::string> program_identity() {
  std::string id;
  dl_iterate_phdr(find_build_id, &id);
  if (!id.empty()) return to_hex(sha256(id));
  GYGES_TRY(Sha256 hash, sha256_of_file("/proc/self/exe"));
  return to_hex(hash);
}

Result<StoredRun> read_run(const FoundBundle& found) {
  if (!found.problem.empty())
    return unreadable("read", found.bundle.string(), found.problem,
                      "see that it can be read, copy or export it again, or leave it out");
  if (!found.sample.empty()) return read_inspect_sample(found);
  GYGES_TRY(Run run, load_run(found.bundle, found.experiment));
  GYGES_TRY(Findings findings, find(run));
  if (!findings.trace.problem.empty())
    return unreadable("read trace", "trace.gyt", findings.trace.problem,
                      "see what is left with gyges trace show, and make the run again");
  return StoredRun{std::move(run), std::move(findings)};
}

struct FindingsStore::State {
  struct Pending {
    std::string bundle;
    std::string stamp;  // empty: not to be trusted next time
    std::string seal;
    std::string packed;  // empty: the findings are there already
  };

  std::mutex mutex;  // of what follows up to `problem`
  Database database;
  std::optional<Statement> verified;
  std::optional<Statement> findings;
  std::vector<Pending> pending;
  std::size_t pending_bytes = 0;
  std::string problem;
  FindingsStoreOptions options;
  std::atomic<std::uint64_t> kept{0};
  std::atomic<std::uint64_t> found{0};
  std::atomic<std::uint64_t> hashed{0};

  void note(const Error& error) {
    if (problem.empty()) problem = error.line();
  }

  bool useless = false;  // the file is of another version

  Status check_version(const fs::path& file) {
    GYGES_TRY(Statement asked, database.prepare("PRAGMA user_version"));
    GYGES_TRY([[maybe_unused]] bool row, asked.step());
    std::int64_t version = asked.integer(0);
    useless = version != 0 && version != store_version;
    if (!useless) return ok();
    return fail("open findings", file.string(), "it has version " + std::to_string(version),
                "remove it");
  }

  Status prepare(const fs::path& file) {
    GYGES_TRY(database, Database::open(file));
    GYGES_CHECK(check_version(file));
    // Losing what a power failure cuts off costs time only.
    GYGES_CHECK(database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"));
    GYGES_CHECK(database.execute(store_schema));
    GYGES_TRY(Statement by_bundle,
              database.prepare("SELECT stamp, seal FROM verified WHERE bundle = ?"));
    GYGES_TRY(Statement by_seal,
              database.prepare("SELECT found FROM findings WHERE seal = ? AND definition = ?"));
    verified.emplace(std::move(by_bundle));
    findings.emplace(std::move(by_seal));
    return ok();
  }

  // The seal's hash under which the bundle was verified when it had this stamp; else empty.
  std::string seal_of(const std::string& bundle, const std::string& stamp) {
    std::scoped_lock lock(mutex);
    auto row = [&]() -> Result<bool> {
      GYGES_CHECK(verified->bind({bundle}));
      return verified->step();
    }();
    if (!row) note(row.error());
    return row && *row && verified->text(0) == stamp ? verified->text(1) : std::string();
  }

  std::optional<StoredRun> findings_of(const std::string& seal) {
    std::string packed;
    {
      std::scoped_lock lock(mutex);
      auto row = [&]() -> Result<bool> {
        GYGES_CHECK(findings->bind({seal, options.definition}));
        return findings->step();
      }();
      if (!row) note(row.error());
      if (!row || !*row) return std::nullopt;
      packed = findings->blob(0);
    }
    return stored_run(unpacked_findings(packed));
  }

  void keep(Pending row) {
    std::scoped_lock lock(mutex);
    pending_bytes += row.packed.size();
    pending.push_back(std::move(row));
    if (pending.size() >= most_pending || pending_bytes >= most_pending_bytes) write();
  }

  // With the lock held.
  void write() {
    if (pending.empty()) return;
    auto written = [&]() -> Status {
      // A statement that stands on a row keeps other processes from writing.
      GYGES_CHECK(verified->bind({std::string()}));
      GYGES_CHECK(findings->bind({std::string(), std::string()}));
      GYGES_TRY(Transaction transaction, Transaction::begin(database));
      GYGES_TRY(Statement seen, database.prepare("INSERT OR REPLACE INTO verified VALUES (?,?,?)"));
      GYGES_TRY(Statement add, database.prepare("INSERT OR REPLACE INTO findings VALUES (?,?,?)"));
      for (const Pending& row : pending) {
        if (!row.stamp.empty()) GYGES_CHECK(seen.run({row.bundle, row.stamp, row.seal}));
        if (!row.packed.empty())
          GYGES_CHECK(add.run({row.seal, options.definition, SqlBlob{row.packed}}));
      }
      return transaction.commit();
    }();
    if (!written) note(written.error());
    pending.clear();
    pending_bytes = 0;
  }

  Result<StoredRun> read_and_keep(const FoundBundle& bundle, const std::string& path,
                                  const BundleStamp& stamp) {
    auto seal = sha256_of_file(bundle.bundle / "seal.json");
    // Without a seal load_run() says what is wrong.
    if (!seal) return read_run(bundle);
    Pending row{path, {}, to_hex(*seal), {}};
    std::optional<StoredRun> result = findings_of(row.seal);
    ++hashed;
    if (result) {
      // A copy, or a bundle whose stamp was too young.
      GYGES_TRY(auto faults, recorder::verify_bundle(bundle.bundle));
      if (!faults.empty()) return unfit(faults);
      ++kept;
    } else {
      GYGES_TRY(result, read_run(bundle));
      ++found;
      row.packed = packed_findings(to_bytes(result->run, result->findings));
    }
    auto after = stamp_of_bundle(bundle.bundle);
    bool unchanged = after && after->hash == stamp.hash;
    if (unchanged && now_ns() - stamp.newest_ns >= options.settled.count()) row.stamp = stamp.hash;
    if (unchanged) keep(std::move(row));
    return std::move(*result);
  }
};

FindingsStore::FindingsStore(std::unique_ptr<State> state) : state_(std::move(state)) {}

FindingsStore::~FindingsStore() {
  flush();
}

Result<std::unique_ptr<FindingsStore>> FindingsStore::open(const fs::path& file,
                                                           FindingsStoreOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  if (state->options.definition.empty()) {
    GYGES_TRY(state->options.definition, program_identity());
  }
  std::error_code error;
  if (fs::path directory = file.parent_path();
      !directory.empty() && !fs::exists(directory, error)) {
    fs::create_directories(directory, error);
    if (error) return fail_errno("keep findings", directory.string(), error.value());
    fs::permissions(directory, fs::perms::owner_all, error);
  }
  if (Status prepared = state->prepare(file); !prepared) {
    if (!state->useless && !state->database.is_damaged())
      return tl::unexpected<Error>(std::move(prepared.error()));
    // Nothing in it that cannot be found again.
    state->verified.reset();
    state->findings.reset();
    state->database = Database();
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(file.string() + suffix, error);
    GYGES_CHECK(state->prepare(file));
  }
  return std::unique_ptr<FindingsStore>(new FindingsStore(std::move(state)));
}

Result<StoredRun> FindingsStore::read(const FoundBundle& bundle) {
  // Logs have no seal to go by.
  if (!bundle.sample.empty() || !bundle.problem.empty()) return read_run(bundle);
  std::error_code error;
  std::string path = fs::canonical(bundle.bundle, error).string();
  auto stamp = stamp_of_bundle(bundle.bundle);
  if (error || !stamp) return read_run(bundle);
  if (std::string seal = state_->seal_of(path, stamp->hash); !seal.empty()) {
    if (std::optional<StoredRun> known = state_->findings_of(seal)) {
      ++state_->kept;
      known->run.bundle = bundle.bundle;
      known->run.experiment = bundle.experiment;
      known->run.slot = bundle.bundle.filename().string();
      return std::move(*known);
    }
  }
  GYGES_TRY(StoredRun read, state_->read_and_keep(bundle, path, *stamp));
  read.run.bundle = bundle.bundle;
  read.run.experiment = bundle.experiment;
  read.run.slot = bundle.bundle.filename().string();
  return read;
}

void FindingsStore::flush() {
  std::scoped_lock lock(state_->mutex);
  state_->write();
}

FindingsStore::Counts FindingsStore::counts() const {
  return {state_->kept, state_->found, state_->hashed};
}

std::string FindingsStore::problem() const {
  std::scoped_lock lock(state_->mutex);
  return state_->problem;
}

fs::path default_findings_file() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / "gyges" / "findings.sqlite";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') return {};
  return fs::path(home) / ".cache" / "gyges" / "findings.sqlite";
}

}  // namespace gyges::analysis
