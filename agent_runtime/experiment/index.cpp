#include "agent_runtime/experiment/index.h"

#include <sys/stat.h>

#include <map>
#include <optional>

#include "agent_runtime/experiment/index_schema.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/sqlite.h"

namespace gyges::experiment {
namespace {

using nlohmann::json;

constexpr std::size_t max_run_json_bytes = 16U << 20U;

struct SealStamp {
  std::int64_t size = 0;
  std::int64_t mtime_ns = 0;
  bool operator==(const SealStamp&) const = default;
};

Result<SealStamp> stamp_of(const std::filesystem::path& seal) {
  struct stat info {};
  if (stat(seal.c_str(), &info) != 0) return fail_errno("look at", seal.string());
  return SealStamp{info.st_size, info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec};
}

// A value of run.json where it is of the wanted type, otherwise NULL.
SqlValue integer_at(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object.at(key).is_number_integer())
    return nullptr;
  return object.at(key).get<std::int64_t>();
}
SqlValue real_at(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object.at(key).is_number()) return nullptr;
  return object.at(key).get<double>();
}
SqlValue text_at(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object.at(key).is_string()) return nullptr;
  return object.at(key).get<std::string>();
}
SqlValue flag_at(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object.at(key).is_boolean()) return nullptr;
  return static_cast<std::int64_t>(object.at(key).get<bool>() ? 1 : 0);
}
std::string string_at(const json& object, const char* key) {
  SqlValue value = text_at(object, key);
  return std::holds_alternative<std::string>(value) ? std::get<std::string>(value) : std::string();
}
json member(const json& object, const char* key) {
  return object.is_object() && object.contains(key) ? object.at(key) : json();
}

}  // namespace

struct Index::State {
  std::filesystem::path directory;
  Database database;

  Status insert_run(const std::string& slot);
  Status insert_details(const std::string& slot, const json& run);
  Status insert_attempt(const FailedAttempt& attempt);
  Status insert_plan(const Record& record, const Experiment& experiment,
                     const std::vector<Slot>& plan);
  Result<bool> usable(const Record& record);
  Status follow_runs(IndexRefresh& refresh);
  Status follow_attempts();
};

namespace {

Result<Database> open_database(const std::filesystem::path& file) {
  GYGES_TRY(Database database, Database::open(file));
  // No syncs: the rollback journal keeps the file whole when the process is killed, and after a
  // power failure the index is made anew if it does not fit the bundles.
  GYGES_CHECK(
      database.execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;"
                       "PRAGMA foreign_keys = ON;"));
  return database;
}

Status remove_database(const std::filesystem::path& file) {
  for (const char* suffix : {"", "-journal", "-wal", "-shm"}) {
    std::error_code error;
    std::filesystem::remove(file.string() + suffix, error);
    if (error) return fail_errno("remove", file.string() + suffix, error.value());
  }
  return ok();
}

}  // namespace

Result<bool> Index::State::usable(const Record& record) {
  GYGES_TRY(Statement check, database.prepare("PRAGMA quick_check(1)"));
  GYGES_TRY(bool row, check.step());
  if (!row || check.text(0) != "ok") return false;
  GYGES_TRY(Statement tables,
            database.prepare("SELECT count(*) FROM sqlite_master WHERE name = 'meta'"));
  GYGES_TRY(bool counted, tables.step());
  if (!counted || tables.integer(0) != 1) return false;
  GYGES_TRY(Statement meta, database.prepare("SELECT value FROM meta WHERE key = ?"));
  GYGES_CHECK(meta.bind({std::string("schema_version")}));
  GYGES_TRY(bool version, meta.step());
  if (!version || meta.text(0) != std::to_string(index_schema_version)) return false;
  GYGES_CHECK(meta.bind({std::string("experiment_sha256")}));
  GYGES_TRY(bool hash, meta.step());
  return hash && meta.text(0) == record.sha256;
}

Status Index::State::insert_plan(const Record& record, const Experiment& experiment,
                                 const std::vector<Slot>& plan) {
  GYGES_TRY(Transaction transaction, Transaction::begin(database));
  GYGES_CHECK(database.execute(index_schema));
  GYGES_TRY(Statement meta, database.prepare("INSERT INTO meta VALUES (?, ?)"));
  GYGES_CHECK(meta.run({std::string("schema_version"), std::to_string(index_schema_version)}));
  GYGES_CHECK(meta.run({std::string("experiment"), experiment.name}));
  GYGES_CHECK(meta.run({std::string("experiment_sha256"), record.sha256}));
  GYGES_CHECK(meta.run({std::string("registered_at"), record.created_at}));
  GYGES_TRY(Statement level, database.prepare("INSERT INTO conditions VALUES (?, ?, ?)"));
  for (const Condition& condition : experiment.conditions)
    for (const auto& [factor, name] : condition.levels)
      GYGES_CHECK(level.run({condition.id, factor, name}));
  GYGES_TRY(Statement row, database.prepare("INSERT INTO slots VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  std::int64_t position = 0;
  for (const Slot& slot : plan)
    GYGES_CHECK(
        row.run({slot.name, position++, experiment.scenarios[slot.scenario].id,
                 experiment.scenarios[slot.scenario].facts.family, experiment.agents[slot.agent].id,
                 experiment.conditions[slot.condition].id, static_cast<std::int64_t>(slot.repeat),
                 static_cast<std::int64_t>(slot.seed)}));
  return transaction.commit();
}

Status Index::State::insert_run(const std::string& slot) {
  const std::string bundle = "runs/" + slot;
  GYGES_TRY(SealStamp stamp, stamp_of(directory / bundle / "seal.json"));
  // A bundle that cannot be read gets a row that says why, so that counts stay right.
  json run;
  SqlValue fault = nullptr;
  const std::filesystem::path file = directory / bundle / "run.json";
  auto text = read_file(file, max_run_json_bytes);
  if (!text) {
    fault = text.error().line();
  } else if (auto parsed = parse_json(*text, file.string()); !parsed) {
    fault = parsed.error().line();
  } else {
    run = std::move(*parsed);
  }
  const json exit = member(run, "exit");
  const json coverage = member(run, "coverage");
  GYGES_TRY(Statement remove, database.prepare("DELETE FROM runs WHERE slot = ?"));
  GYGES_CHECK(remove.run({slot}));
  GYGES_TRY(Statement insert, database.prepare("INSERT INTO runs VALUES "
                                               "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
  GYGES_CHECK(
      insert.run({slot, text_at(run, "run_id"), bundle, text_at(run, "started_at"),
                  real_at(run, "duration_ms"), text_at(exit, "kind"), integer_at(exit, "code"),
                  integer_at(exit, "signal"), text_at(exit, "reason"), text_at(coverage, "backend"),
                  flag_at(coverage, "complete"), integer_at(run, "lost"),
                  integer_at(coverage, "events"), integer_at(coverage, "syscalls"),
                  integer_at(coverage, "bytes"), fault, stamp.size, stamp.mtime_ns}));
  return insert_details(slot, run);
}

Status Index::State::insert_details(const std::string& slot, const json& run) {
  GYGES_TRY(Statement level, database.prepare("INSERT INTO run_levels VALUES (?, ?, ?)"));
  const json condition = member(run, "condition");
  for (const auto& [factor, name] : condition.items())
    if (name.is_string()) GYGES_CHECK(level.run({slot, factor, name.get<std::string>()}));
  GYGES_TRY(Statement limit, database.prepare("INSERT INTO limits_hit VALUES (?, ?, ?, ?)"));
  std::int64_t number = 0;
  const json limits = member(run, "limits_hit");
  for (const json& hit : limits)
    GYGES_CHECK(limit.run({slot, number++, string_at(hit, "limit"), string_at(hit, "detail")}));
  GYGES_TRY(Statement check, database.prepare("INSERT OR IGNORE INTO checks VALUES (?, ?, ?, ?)"));
  const json checks = member(member(run, "scenario"), "checks");
  for (const json& defined : checks)
    GYGES_CHECK(check.run({slot, string_at(defined, "name"), string_at(defined, "kind"),
                           string_at(defined, "title")}));
  return ok();
}

Status Index::State::insert_attempt(const FailedAttempt& attempt) {
  GYGES_TRY(Statement insert,
            database.prepare("INSERT INTO attempts (slot, attempt, at, kind, detail) "
                             "VALUES (?, ?, ?, ?, ?)"));
  return insert.run({attempt.slot, static_cast<std::int64_t>(attempt.attempt), attempt.at,
                     attempt.kind, attempt.detail});
}

Status Index::State::follow_runs(IndexRefresh& refresh) {
  std::map<std::string, SealStamp> known;
  GYGES_TRY(Statement rows, database.prepare("SELECT slot, seal_size, seal_mtime_ns FROM runs"));
  while (true) {
    GYGES_TRY(bool row, rows.step());
    if (!row) break;
    known[rows.text(0)] = {rows.integer(1), rows.integer(2)};
  }
  std::set<std::string> planned;
  GYGES_TRY(Statement slots, database.prepare("SELECT slot FROM slots"));
  while (true) {
    GYGES_TRY(bool row, slots.step());
    if (!row) break;
    planned.insert(slots.text(0));
  }
  GYGES_TRY(std::set<std::string> finished, finished_slots(directory));
  GYGES_TRY(Transaction transaction, Transaction::begin(database));
  for (const std::string& slot : finished) {
    // Bundles that somebody else put here are none of the experiment's runs.
    if (!planned.contains(slot)) continue;
    GYGES_TRY(SealStamp stamp, stamp_of(runs_directory(directory) / slot / "seal.json"));
    auto found = known.find(slot);
    if (found == known.end() || found->second != stamp) {
      GYGES_CHECK(insert_run(slot));
      ++refresh.added;
    }
  }
  GYGES_TRY(Statement remove, database.prepare("DELETE FROM runs WHERE slot = ?"));
  for (const auto& [slot, stamp] : known)
    if (!finished.contains(slot)) {
      GYGES_CHECK(remove.run({slot}));
      ++refresh.removed;
    }
  return transaction.commit();
}

Status Index::State::follow_attempts() {
  GYGES_TRY(std::vector<FailedAttempt> attempts, failed_attempts(directory));
  GYGES_TRY(Statement count, database.prepare("SELECT count(*) FROM attempts"));
  GYGES_TRY(bool row, count.step());
  if (row && count.integer(0) == static_cast<std::int64_t>(attempts.size())) return ok();
  GYGES_TRY(bool more, count.step());
  static_cast<void>(more);
  GYGES_TRY(Transaction transaction, Transaction::begin(database));
  GYGES_CHECK(database.execute("DELETE FROM attempts"));
  for (const FailedAttempt& attempt : attempts) GYGES_CHECK(insert_attempt(attempt));
  return transaction.commit();
}

Index::Index(std::unique_ptr<State> state) : state_(std::move(state)) {}
Index::Index(Index&&) noexcept = default;
Index& Index::operator=(Index&&) noexcept = default;
Index::~Index() = default;

Result<Index> Index::open(const std::filesystem::path& directory, const Record& record,
                          const Experiment& experiment, const std::vector<Slot>& plan,
                          IndexRefresh* refresh) {
  IndexRefresh done;
  const std::filesystem::path file = index_file(directory);
  auto state = std::make_unique<State>();
  state->directory = directory;
  std::error_code error;
  bool usable = false;
  if (std::filesystem::exists(file, error)) {
    // Errors here mean a file that SQLite cannot read: one more case of "make it anew".
    if (auto database = open_database(file)) {
      state->database = std::move(*database);
      usable = state->usable(record).value_or(false);
    }
  }
  if (!usable) {
    state->database = Database();
    GYGES_CHECK(remove_database(file));
    GYGES_TRY(state->database, open_database(file));
    GYGES_CHECK(state->insert_plan(record, experiment, plan));
    done.rebuilt = true;
  }
  GYGES_CHECK(state->follow_runs(done));
  GYGES_CHECK(state->follow_attempts());
  if (refresh != nullptr) *refresh = done;
  return Index(std::move(state));
}

Status Index::add_run(const std::string& slot) {
  GYGES_TRY(Transaction transaction, Transaction::begin(state_->database));
  GYGES_CHECK(state_->insert_run(slot));
  return transaction.commit();
}

Status Index::add_attempt(const FailedAttempt& attempt) {
  return state_->insert_attempt(attempt);
}

Result<std::vector<Index::ExitCount>> Index::exit_counts(const std::filesystem::path& directory) {
  std::error_code error;
  if (!std::filesystem::exists(index_file(directory), error)) return std::vector<ExitCount>{};
  GYGES_TRY(Database database, Database::open_read_only(index_file(directory)));
  GYGES_TRY(Statement rows,
            database.prepare("SELECT s.condition, coalesce(r.exit_kind, 'unreadable'), count(*), "
                             "coalesce(sum(r.lost), 0) FROM runs r JOIN slots s USING (slot) "
                             "GROUP BY 1, 2 ORDER BY 1, 2"));
  std::vector<ExitCount> counts;
  while (true) {
    GYGES_TRY(bool row, rows.step());
    if (!row) return counts;
    counts.push_back({rows.text(0), rows.text(1), static_cast<std::uint64_t>(rows.integer(2)),
                      static_cast<std::uint64_t>(rows.integer(3))});
  }
}

}  // namespace gyges::experiment
