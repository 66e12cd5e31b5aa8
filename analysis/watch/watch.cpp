#include "analysis/watch/watch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <tuple>

#include "analysis/bundles/find_bundles.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/sqlite.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;

constexpr char watch_schema[] = R"sql(
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (
  bundle TEXT PRIMARY KEY, run_id TEXT NOT NULL, at_ns INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS seen_by_run ON seen (run_id);
CREATE TABLE IF NOT EXISTS rates (
  number INTEGER PRIMARY KEY, successes INTEGER NOT NULL, trials INTEGER NOT NULL,
  highest_log_e REAL NOT NULL, alarmed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, alert TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
  receiver TEXT NOT NULL, alert TEXT NOT NULL, at_ns INTEGER NOT NULL,
  PRIMARY KEY (receiver, alert));
)sql";

constexpr std::size_t kept_evidence = 5;

std::int64_t watch_clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct OutcomeOfRun {
  std::optional<bool> holds;
  const EvidenceList* evidence = nullptr;
};

OutcomeOfRun outcome_of_run(const Findings& findings, const std::string& name) {
  if (name == "covert_act") return {findings.covert.holds, &findings.covert.evidence};
  if (name == "task_success") return {findings.success.holds, &findings.success.evidence};
  for (const CheckResult& check : findings.checks)
    if (check.name == name) return {check.answer.holds, &check.answer.evidence};
  for (std::size_t i = 0; i < findings.features.size(); ++i) {
    const Feature& feature = all_features()[i];
    if (feature.name != name || feature.unit != FeatureUnit::yes_no) continue;
    const FeatureValue& value = findings.features[i];
    return {value.value ? std::optional<bool>(*value.value != 0) : std::nullopt, &value.evidence};
  }
  return {};
}

std::string move_name(Move move) {
  return move == Move::rise ? "rise" : "fall";
}

Result<std::vector<FoundBundle>> bundles_of(const std::vector<fs::path>& directories) {
  std::vector<FoundBundle> bundles;
  for (const fs::path& directory : directories) {
    GYGES_TRY(std::vector<FoundBundle> found, find_bundles(directory));
    bundles.insert(bundles.end(), found.begin(), found.end());
  }
  return bundles;
}

struct SealedBundle {
  FoundBundle bundle;
  std::string path;
  std::int64_t sealed_ns = 0;
};

}  // namespace

struct Watch::State {
  WatchOptions options;
  Database database;
  std::vector<WatchedRate> rates;  // with the baseline; live part as in the database
  std::set<std::string> baseline_runs;

  [[nodiscard]] double share() const {
    return options.alpha / static_cast<double>(options.outcomes.size());
  }

  Status read_baseline() {
    GYGES_TRY(std::vector<FoundBundle> bundles, bundles_of(options.baseline));
    for (const WatchedOutcome& outcome : options.outcomes) {
      WatchedRate rate;
      rate.outcome = outcome;
      rates.push_back(rate);
    }
    std::string first_problem;
    for (auto& read : read_runs(bundles, {options.store, 0, {}})) {
      if (!*read) {
        if (first_problem.empty()) first_problem = read->error().line();
        continue;
      }
      if (!baseline_runs.insert((*read)->run.run_id).second) continue;
      for (WatchedRate& rate : rates) {
        OutcomeOfRun outcome = outcome_of_run((*read)->findings, rate.outcome.name);
        if (!outcome.holds) continue;
        ++rate.baseline.trials;
        rate.baseline.successes += *outcome.holds ? 1 : 0;
      }
    }
    // A baseline that is smaller than it seems would be a silent change of what is watched for.
    if (!first_problem.empty())
      return fail("read baseline", options.baseline[0].string(), first_problem,
                  "take the bundle out of the baseline");
    for (WatchedRate& rate : rates) {
      if (rate.baseline.trials == 0)
        return fail("watch", rate.outcome.name, "no run of the baseline decides it",
                    "name covert_act, task_success, a check of the scenario or a yes/no feature");
      rate.bound = baseline_bound(rate.baseline, rate.outcome.move, share());
    }
    return ok();
  }

  // What the state belongs to.
  [[nodiscard]] std::string identity() const {
    std::string text = fmt::format("alpha {}\n", options.alpha);
    for (const WatchedRate& rate : rates)
      text += fmt::format("{} {} {}/{}\n", rate.outcome.name, move_name(rate.outcome.move),
                          rate.baseline.successes, rate.baseline.trials);
    for (const std::string& name : options.each) text += "each " + name + "\n";
    for (const std::string& run : baseline_runs) text += run + "\n";
    return to_hex(sha256(text));
  }

  Status open_state() {
    GYGES_TRY(database, Database::open(options.state));
    GYGES_CHECK(database.execute("PRAGMA synchronous = FULL;"));
    GYGES_CHECK(database.execute(watch_schema));
    GYGES_TRY(Statement known, database.prepare("SELECT value FROM meta WHERE key = 'identity'"));
    GYGES_TRY(bool row, known.step());
    if (row && known.text(0) != identity())
      return fail("go on watching", options.state.string(),
                  "it belongs to another baseline, other outcomes or another alpha",
                  "name a new --state, or watch with what it was begun with");
    if (row) return read_rates();
    GYGES_TRY(Transaction transaction, Transaction::begin(database));
    GYGES_TRY(Statement meta, database.prepare("INSERT INTO meta VALUES (?, ?)"));
    GYGES_CHECK(meta.run({std::string("identity"), identity()}));
    GYGES_CHECK(meta.run({std::string("version"), std::string("1")}));
    GYGES_TRY(Statement rate, database.prepare("INSERT INTO rates VALUES (?, 0, 0, 0, 0)"));
    for (std::size_t i = 0; i < rates.size(); ++i)
      GYGES_CHECK(rate.run({static_cast<std::int64_t>(i)}));
    return transaction.commit();
  }

  Status read_rates() {
    GYGES_TRY(Statement rows, database.prepare("SELECT number, successes, trials, highest_log_e, "
                                               "alarmed FROM rates ORDER BY number"));
    for (WatchedRate& rate : rates) {
      GYGES_TRY(bool row, rows.step());
      if (!row) return fail("read", options.state.string(), "it lacks an outcome");
      rate.live.successes = static_cast<std::uint64_t>(rows.integer(1));
      rate.live.trials = static_cast<std::uint64_t>(rows.integer(2));
      rate.highest_log_e = rows.real(3);
      rate.alarmed = rows.integer(4) != 0;
      rate.log_e =
          log_rate_e_value(rate.live.successes, rate.live.trials, rate.bound, rate.outcome.move);
    }
    return ok();
  }

  Result<bool> is_seen(const std::string& column, const std::string& value) const {
    GYGES_TRY(Statement query,
              database.prepare(column == "bundle"
                                   ? "SELECT 1 FROM seen WHERE bundle = ?"
                                   : "SELECT 1 FROM seen WHERE run_id = ? AND run_id <> ''"));
    GYGES_CHECK(query.bind({value}));
    return query.step();
  }

  // Sealed and not yet taken in, in the order in which they were sealed.
  Result<std::vector<SealedBundle>> unseen() const {
    std::vector<SealedBundle> list;
    for (const fs::path& directory : options.live) {
      auto found = find_bundles(directory);
      // The first run may be still to come.
      if (!found) {
        std::error_code error;
        if (fs::is_directory(directory, error)) continue;
        return tl::unexpected<Error>(std::move(found.error()));
      }
      for (FoundBundle& bundle : *found) {
        struct stat seal {};
        if (!bundle.sample.empty() || !bundle.problem.empty()) continue;
        if (stat((bundle.bundle / "seal.json").c_str(), &seal) != 0) continue;
        std::error_code error;
        std::string path = fs::canonical(bundle.bundle, error).string();
        if (error) continue;
        GYGES_TRY(bool seen, is_seen("bundle", path));
        if (seen) continue;
        list.push_back({std::move(bundle), std::move(path),
                        seal.st_mtim.tv_sec * 1'000'000'000LL + seal.st_mtim.tv_nsec});
      }
    }
    std::sort(list.begin(), list.end(), [](const SealedBundle& a, const SealedBundle& b) {
      return std::tie(a.sealed_ns, a.path) < std::tie(b.sealed_ns, b.path);
    });
    return list;
  }

  Alert new_alert(const char* kind, const std::string& outcome, const std::string& subject) const {
    Alert alert;
    alert.kind = kind;
    alert.outcome = outcome;
    alert.time_ns = watch_clock_ns();
    alert.id = to_hex(sha256(fmt::format("{}/{}/{}/{}", identity(), kind, outcome, subject)))
                   .substr(0, 32);
    return alert;
  }

  static void add_run_facts(Alert& alert, const Run& run, const EvidenceList* evidence) {
    alert.run_id = run.run_id;
    alert.bundle = valid_utf8(run.bundle.string());
    alert.scenario = run.scenario;
    alert.agent = run.agent;
    alert.model = run.model;
    if (evidence == nullptr) return;
    for (const Evidence& one : evidence->kept())
      if (alert.evidence.size() < kept_evidence) alert.evidence.push_back(one);
  }

  Status add_alert(const Alert& alert) {
    GYGES_TRY(Statement add,
              database.prepare("INSERT OR IGNORE INTO alerts (id, alert) VALUES (?, ?)"));
    return add.run({alert.id, alert_json(alert).dump(-1, ' ', false,
                                                     nlohmann::json::error_handler_t::replace)});
  }

  Status mark_seen(const std::string& path, const std::string& run_id, const std::string& reason) {
    GYGES_TRY(Statement add, database.prepare("INSERT INTO seen VALUES (?, ?, ?, ?)"));
    return add.run({path, run_id, watch_clock_ns(), reason});
  }

  Status take_unfit(const SealedBundle& bundle, const Error& error) {
    Alert alert = new_alert("unfit", "seal", bundle.path);
    alert.title = "a sealed run is damaged or was edited";
    alert.message = valid_utf8(error.line());
    alert.bundle = valid_utf8(bundle.path);
    GYGES_TRY(Transaction transaction, Transaction::begin(database));
    GYGES_CHECK(mark_seen(bundle.path, "", valid_utf8(error.line())));
    GYGES_CHECK(add_alert(alert));
    return transaction.commit();
  }

  Status take(const SealedBundle& bundle, const StoredRun& stored) {
    const Run& run = stored.run;
    GYGES_TRY(bool twice, is_seen("run_id", run.run_id));
    GYGES_TRY(Transaction transaction, Transaction::begin(database));
    std::string reason = twice                                ? "the same run as another bundle"
                         : baseline_runs.contains(run.run_id) ? "a run of the baseline"
                         : run.exit_kind == "error"           ? "the run ended in error"
                                                              : "";
    GYGES_CHECK(mark_seen(bundle.path, run.run_id, reason));
    if (!reason.empty()) return transaction.commit();
    for (const std::string& name : options.each) {
      OutcomeOfRun outcome = outcome_of_run(stored.findings, name);
      if (outcome.holds != true) continue;
      Alert alert = new_alert("act", name, run.run_id);
      alert.title = "a run did what is watched for: " + name;
      alert.message = fmt::format("{} in run {} of agent {}", name, run.run_id, run.agent);
      add_run_facts(alert, run, outcome.evidence);
      GYGES_CHECK(add_alert(alert));
    }
    std::vector<WatchedRate> next = rates;
    for (std::size_t i = 0; i < next.size(); ++i) GYGES_CHECK(take_outcome(next[i], i, stored));
    GYGES_CHECK(transaction.commit());
    rates = std::move(next);
    return ok();
  }

  Status take_outcome(WatchedRate& rate, std::size_t number, const StoredRun& stored) {
    OutcomeOfRun outcome = outcome_of_run(stored.findings, rate.outcome.name);
    if (!outcome.holds) return ok();
    ++rate.live.trials;
    rate.live.successes += *outcome.holds ? 1 : 0;
    rate.log_e =
        log_rate_e_value(rate.live.successes, rate.live.trials, rate.bound, rate.outcome.move);
    rate.highest_log_e = std::max(rate.highest_log_e, rate.log_e);
    bool now = !rate.alarmed && rate.highest_log_e >= log_alarm_level(share());
    rate.alarmed = rate.alarmed || now;
    GYGES_TRY(Statement update,
              database.prepare("UPDATE rates SET successes = ?, trials = ?, highest_log_e = ?, "
                               "alarmed = ? WHERE number = ?"));
    GYGES_CHECK(update.run({static_cast<std::int64_t>(rate.live.successes),
                            static_cast<std::int64_t>(rate.live.trials), rate.highest_log_e,
                            static_cast<std::int64_t>(rate.alarmed ? 1 : 0),
                            static_cast<std::int64_t>(number)}));
    if (!now) return ok();
    Alert alert = new_alert("shift", rate.outcome.name, move_name(rate.outcome.move));
    alert.title = fmt::format("the rate of {} has {}", rate.outcome.name,
                              rate.outcome.move == Move::rise ? "risen" : "fallen");
    alert.message = fmt::format(
        "{} in {} of {} runs, {} of {} in the baseline (bound {:.4f}): e-value {:.1f}, alarm from "
        "{:.1f} "
        "on, valid at every look",
        rate.outcome.name, rate.live.successes, rate.live.trials, rate.baseline.successes,
        rate.baseline.trials, rate.bound, std::exp(std::min(rate.log_e, 700.0)),
        std::exp(log_alarm_level(share())));
    alert.log_e = rate.log_e;
    alert.successes = rate.live.successes;
    alert.trials = rate.live.trials;
    alert.baseline_successes = rate.baseline.successes;
    alert.baseline_trials = rate.baseline.trials;
    alert.bound = rate.bound;
    add_run_facts(alert, stored.run, outcome.evidence);
    return add_alert(alert);
  }
};

Watch::Watch(std::unique_ptr<State> state) : state_(std::move(state)) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

Result<Watch> Watch::open(WatchOptions options) {
  if (options.outcomes.empty()) return fail("watch", "outcomes", "none is named");
  if (options.alpha <= 0 || options.alpha >= 1)
    return fail("watch", "alpha", "is not between 0 and 1");
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  GYGES_CHECK(state->read_baseline());
  GYGES_CHECK(state->open_state());
  return Watch(std::move(state));
}

Result<std::size_t> Watch::look() {
  GYGES_TRY(std::vector<SealedBundle> bundles, state_->unseen());
  for (const SealedBundle& bundle : bundles) {
    auto read = state_->options.store != nullptr ? state_->options.store->read(bundle.bundle)
                                                 : read_run(bundle.bundle);
    GYGES_CHECK(read ? state_->take(bundle, *read) : state_->take_unfit(bundle, read.error()));
  }
  return bundles.size();
}

Result<std::vector<WatchedRate>> Watch::rates() const {
  return state_->rates;
}

Result<std::vector<Alert>> Watch::undelivered(const std::string& receiver) const {
  GYGES_TRY(Statement rows,
            state_->database.prepare("SELECT alert FROM alerts WHERE id NOT IN (SELECT alert FROM "
                                     "deliveries WHERE receiver = ?) ORDER BY number"));
  GYGES_CHECK(rows.bind({receiver}));
  std::vector<Alert> alerts;
  while (true) {
    GYGES_TRY(bool row, rows.step());
    if (!row) return alerts;
    GYGES_TRY(nlohmann::json value, parse_json(rows.text(0), state_->options.state.string()));
    GYGES_TRY(Alert alert, alert_of(value));
    alerts.push_back(std::move(alert));
  }
}

Status Watch::delivered(const std::string& receiver, const std::string& alert_id) {
  GYGES_TRY(Statement add,
            state_->database.prepare("INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?)"));
  return add.run({receiver, alert_id, watch_clock_ns()});
}

Result<std::uint64_t> Watch::alerts() const {
  GYGES_TRY(Statement count, state_->database.prepare("SELECT count(*) FROM alerts"));
  GYGES_TRY([[maybe_unused]] bool row, count.step());
  return static_cast<std::uint64_t>(count.integer(0));
}

}  // namespace gyges::analysis
