#include "analysis/store/run_database.h"

#include <set>

#include "analysis/bundles/json_lines.h"
#include "analysis/features/feature.h"
#include "analysis/store/run_database_schema.h"
#include "base/json.h"
#include "base/output_file.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;

SqlValue whole(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}
SqlValue flag(bool value) {
  return static_cast<std::int64_t>(value ? 1 : 0);
}
SqlValue flag(const std::optional<bool>& value) {
  return value ? flag(*value) : SqlValue(nullptr);
}
// Paths and words of a run need not be UTF-8, which readers of the database expect.
SqlValue words(std::string_view value) {
  return valid_utf8(value);
}

// The statements that add one run, prepared once.
class RunRows {
 public:
  static Result<RunRows> prepare(Database& database) {
    RunRows rows;
    for (auto [statement, sql] : {
             std::pair{&rows.run_,
                       "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
                       "?,?,?,?,?,?,?,?,?)"},
             std::pair{&rows.level_, "INSERT INTO levels VALUES (?,?,?)"},
             std::pair{&rows.limit_, "INSERT INTO limits_hit VALUES (?,?)"},
             std::pair{&rows.check_, "INSERT OR REPLACE INTO checks VALUES (?,?,?,?,?,?)"},
             std::pair{&rows.feature_, "INSERT INTO features VALUES (?,?,?,?,?)"},
             std::pair{&rows.evidence_,
                       "INSERT OR REPLACE INTO evidence VALUES (?,?,?,?,?,?,?,?,?,?)"},
             std::pair{&rows.call_, "INSERT INTO tool_calls VALUES (?,?,?,?,?,?,?,?)"},
             std::pair{&rows.change_, "INSERT INTO file_changes VALUES (?,?,?,?,?,?)"},
         }) {
      GYGES_TRY(*statement, database.prepare(sql));
    }
    return rows;
  }

  Status add(std::int64_t number, const StoredRun& stored) {
    const auto& [run, findings] = stored;
    GYGES_CHECK(add_run(number, run, findings));
    for (const auto& [factor, level] : run.condition)
      GYGES_CHECK(level_.run({number, words(factor), words(level)}));
    for (const std::string& limit : run.limits_hit) GYGES_CHECK(limit_.run({number, words(limit)}));
    for (const CheckResult& check : findings.checks) {
      GYGES_CHECK(check_.run({number, words(check.name), check.kind, words(check.title),
                              flag(check.answer.holds), words(check.answer.reason)}));
      GYGES_CHECK(add_evidence(number, "check", check.name, check.answer.evidence, findings));
    }
    for (std::size_t i = 0; i < findings.features.size(); ++i) {
      const Feature& feature = all_features()[i];
      const FeatureValue& value = findings.features[i];
      GYGES_CHECK(feature_.run(
          {number, std::string(feature.name), std::string(unit_name(feature.unit)),
           value.value ? SqlValue(*value.value) : SqlValue(nullptr), words(value.reason)}));
      GYGES_CHECK(add_evidence(number, "feature", feature.name, value.evidence, findings));
    }
    for (const ToolCall& call : run.transcript.calls) {
      double took = static_cast<double>(call.executed_ns - call.requested_ns) / 1e6;
      GYGES_CHECK(call_.run({number, whole(call.call), words(call.name), words(call.arguments),
                             flag(call.rejected), flag(call.executed),
                             call.executed ? SqlValue(took) : SqlValue(nullptr),
                             call.executed ? SqlValue(call.exit_code) : SqlValue(nullptr)}));
    }
    for (const FileChange& change : run.changes)
      GYGES_CHECK(change_.run({number, change.kind, change.type, words(change.path),
                               whole(change.size), change.sha256}));
    return ok();
  }

 private:
  Status add_run(std::int64_t number, const Run& run, const Findings& findings) {
    const Transcript& told = run.transcript;
    auto if_told = [&](SqlValue value) {
      return run.has_transcript ? std::move(value) : SqlValue(nullptr);
    };
    auto if_covered = [&](SqlValue value) {
      return run.has_coverage ? std::move(value) : SqlValue(nullptr);
    };
    return run_.run({number,
                     words(run.run_id),
                     words(run.slot),
                     words(run.experiment),
                     words(run.bundle.string()),
                     words(run.kind),
                     words(run.scenario),
                     words(run.family),
                     words(run.agent),
                     words(run.agent_sha256),
                     words(run.model),
                     words(run.condition_label()),
                     whole(run.repeat),
                     whole(run.seed),
                     whole(run.duration_ms),
                     words(run.exit_kind),
                     words(run.policy),
                     words(run.persona),
                     words(run.host),
                     if_covered(words(run.backend)),
                     if_covered(flag(run.complete)),
                     whole(run.lost),
                     if_covered(whole(run.syscalls)),
                     flag(findings.covert.holds),
                     words(findings.covert.reason),
                     flag(findings.success.holds),
                     words(findings.success.reason),
                     if_told(whole(told.assistant_turns)),
                     if_told(whole(told.calls.size())),
                     if_told(whole(told.input_tokens)),
                     if_told(whole(told.output_tokens)),
                     if_told(told.cost),
                     if_told(words(told.report))});
  }

  Status add_evidence(std::int64_t number, const char* of, std::string_view name,
                      const EvidenceList& list, const Findings& findings) {
    std::int64_t place = 0;
    for (const Evidence& one : list.kept()) {
      SqlValue seconds = nullptr;
      if (one.time_ns >= findings.trace.start_ns && findings.trace.start_ns != 0)
        seconds = static_cast<double>(one.time_ns - findings.trace.start_ns) / 1e9;
      GYGES_CHECK(
          evidence_.run({number, std::string(of), words(name), place++, one.source,
                         one.sequence ? whole(*one.sequence) : SqlValue(nullptr), seconds,
                         one.pid != 0 ? SqlValue(std::int64_t{one.pid}) : SqlValue(nullptr),
                         one.call != 0 ? whole(one.call) : SqlValue(nullptr), words(one.text)}));
    }
    return ok();
  }

  Statement run_, level_, limit_, check_, feature_, evidence_, call_, change_;
};

// Attempts that failed, of each experiment directory among them. A directory without the file has
// none.
Status add_attempts(Database& database, const std::set<std::string>& experiments) {
  GYGES_TRY(Statement row, database.prepare("INSERT INTO attempts VALUES (?,?,?,?,?,?)"));
  for (const std::string& experiment : experiments) {
    const fs::path file = fs::path(experiment) / "attempts.jsonl";
    std::error_code error;
    if (!fs::exists(file, error)) continue;
    GYGES_CHECK(for_each_json_line(file, [&](const nlohmann::json& line) {
      return row.run({words(experiment), words(text_member(line, "slot")),
                      integer_member(line, "attempt"), words(text_member(line, "at")),
                      words(text_member(line, "kind")), words(text_member(line, "detail"))});
    }));
  }
  return ok();
}

Status fill(RunDatabase& result, const std::vector<FoundBundle>& bundles,
            const ReadOptions& options) {
  Database& database = result.database;
  GYGES_CHECK(database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"));
  GYGES_CHECK(database.execute(run_database_schema));
  auto read = read_runs(bundles, options);
  GYGES_TRY(Transaction transaction, Transaction::begin(database));
  GYGES_TRY(RunRows rows, RunRows::prepare(database));
  GYGES_TRY(Statement excluded, database.prepare("INSERT INTO excluded VALUES (?,?)"));
  GYGES_TRY(Statement meta, database.prepare("INSERT INTO meta VALUES (?,?)"));
  std::set<std::string> seen;
  std::set<std::string> experiments;
  for (std::size_t i = 0; i < bundles.size(); ++i) {
    experiments.insert(bundles[i].experiment);
    std::string reason;
    if (!*read[i])
      reason = read[i]->error().line();
    else if (!seen.insert((*read[i])->run.run_id).second)
      reason = "another bundle has the same run";
    if (!reason.empty()) {
      GYGES_CHECK(excluded.run({words(bundles[i].bundle.string()), words(reason)}));
      result.excluded.push_back({bundles[i].bundle, std::move(reason)});
    } else {
      GYGES_CHECK(rows.add(static_cast<std::int64_t>(++result.runs), **read[i]));
    }
    read[i].reset();
  }
  GYGES_CHECK(add_attempts(database, experiments));
  GYGES_CHECK(meta.run({std::string("schema_version"), std::to_string(run_database_version)}));
  GYGES_CHECK(meta.run({std::string("runs"), std::to_string(result.runs)}));
  GYGES_CHECK(meta.run({std::string("excluded"), std::to_string(result.excluded.size())}));
  GYGES_CHECK(transaction.commit());
  return database.execute(run_database_indexes);
}

}  // namespace

Result<RunDatabase> build_run_database(const std::vector<fs::path>& directories,
                                       const ReadOptions& options, const fs::path& file) {
  std::vector<FoundBundle> bundles;
  for (const fs::path& directory : directories) {
    GYGES_TRY(std::vector<FoundBundle> found, find_bundles(directory));
    bundles.insert(bundles.end(), found.begin(), found.end());
  }
  RunDatabase result;
  if (file.empty()) {
    GYGES_TRY(result.database, Database::open(":memory:"));
    GYGES_CHECK(fill(result, bundles, options));
    return result;
  }
  if (is_written_in_place(file))
    return fail("write database", file.string(), "it is a link, a device or a FIFO",
                "name a file, as a database is not written from beginning to end");
  GYGES_TRY(PartialFile partial, PartialFile::beside(file));
  GYGES_TRY(result.database, Database::open(partial.path()));
  GYGES_CHECK(fill(result, bundles, options));
  result.database = Database();
  GYGES_CHECK(partial.keep());
  GYGES_TRY(result.database, Database::open_read_only(file));
  return result;
}

}  // namespace gyges::analysis
