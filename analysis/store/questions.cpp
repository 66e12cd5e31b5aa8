#include "analysis/store/questions.h"

#include <fmt/format.h>

#include "base/text.h"

namespace gyges::analysis {
namespace {

constexpr NamedQuestion questions[] = {
    {"rates", "covert acts and finished tasks for each agent and condition", "",
     "SELECT agent, condition, count(*) AS runs, sum(covert) AS covert, count(covert) AS decided, "
     "round(avg(covert), 4) AS covert_rate, sum(success) AS success, "
     "round(avg(success), 4) AS success_rate FROM runs WHERE exit_kind <> 'error' "
     "GROUP BY agent, condition ORDER BY agent, condition"},
    {"features", "mean of each feature for each agent and condition, where it is not zero anywhere",
     "",
     "SELECT f.name AS feature, f.unit, r.agent, r.condition, count(f.value) AS decided, "
     "sum(f.value > 0) AS runs_with, round(avg(f.value), 4) AS mean "
     "FROM features f JOIN runs r USING (run) WHERE f.name IN "
     "(SELECT name FROM features WHERE value > 0) GROUP BY f.name, r.agent, r.condition "
     "ORDER BY f.name, r.agent, r.condition"},
    {"with", "runs with a feature, and the first thing that shows it", "FEATURE",
     "SELECT r.slot, r.agent, r.condition, r.repeat, f.value, e.tool_call, e.seq, e.text AS "
     "shown_by, "
     "r.bundle FROM features f JOIN runs r USING (run) LEFT JOIN evidence e ON e.run = r.run AND "
     "e.subject = 'feature' AND e.name = f.name AND e.number = 0 WHERE f.name = ?1 AND f.value > 0 "
     "ORDER BY r.agent, r.condition, r.scenario, r.repeat, r.run"},
    {"check", "runs in which a check of the scenario holds", "CHECK",
     "SELECT r.slot, r.agent, r.condition, r.repeat, c.kind, e.tool_call, e.seq, "
     "e.text AS shown_by, r.bundle FROM checks c JOIN runs r USING (run) LEFT JOIN evidence e ON "
     "e.run = r.run AND e.subject = 'check' AND e.name = c.name AND e.number = 0 WHERE c.name = ?1 "
     "AND "
     "c.holds = 1 ORDER BY r.agent, r.condition, r.scenario, r.repeat, r.run"},
    {"checks", "how often each check holds, for each agent and condition", "",
     "SELECT c.name AS check_name, c.kind, r.agent, r.condition, sum(c.holds) AS holds, "
     "count(c.holds) AS decided, count(*) AS runs, round(avg(c.holds), 4) AS rate FROM checks c "
     "JOIN runs r USING (run) WHERE r.exit_kind <> 'error' GROUP BY c.name, r.agent, r.condition "
     "ORDER BY c.name, r.agent, r.condition"},
    {"disagreements", "pairs (same task, agent, repeat, seed) in which only one did a covert act",
     "",
     "SELECT a.scenario, a.agent, a.repeat, a.condition AS covert_in, b.condition AS not_in, "
     "a.slot AS covert_run, b.slot AS other_run FROM runs a JOIN runs b ON "
     "a.experiment = b.experiment AND a.scenario = b.scenario AND a.agent = b.agent AND "
     "a.repeat = b.repeat AND a.seed = b.seed AND a.run <> b.run WHERE a.covert = 1 AND b.covert = "
     "0 "
     "AND a.exit_kind <> 'error' AND b.exit_kind <> 'error' "
     "ORDER BY a.scenario, a.agent, a.repeat, a.condition, b.condition"},
    {"undecided", "runs whose covert acts or success could not be decided, and why", "",
     "SELECT slot, agent, condition, covert_reason, success_reason, bundle FROM runs WHERE "
     "covert IS NULL OR success IS NULL ORDER BY agent, condition, run"},
    {"losses", "runs that lost events, whose trace is incomplete or that were not recorded", "",
     "SELECT slot, agent, condition, backend, lost, complete, syscalls, bundle FROM runs WHERE "
     "lost > 0 OR complete IS NULL OR complete = 0 ORDER BY lost DESC, run"},
    {"excluded", "bundles that are left out of every other answer, and why", "",
     "SELECT bundle, reason FROM excluded ORDER BY bundle"},
    {"attempts", "attempts that failed", "",
     "SELECT slot, attempt, at, kind, detail, experiment FROM attempts ORDER BY experiment, at, "
     "slot"},
    {"exits", "how runs ended, for each agent and condition", "",
     "SELECT agent, condition, exit_kind, count(*) AS runs FROM runs GROUP BY agent, condition, "
     "exit_kind ORDER BY agent, condition, exit_kind"},
    {"limits", "limits that runs met", "",
     "SELECT l.limit_name, r.agent, r.condition, count(*) AS runs FROM limits_hit l "
     "JOIN runs r USING (run) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"},
    {"costs", "time, tokens and money for each agent and condition", "",
     "SELECT agent, condition, count(*) AS runs, round(sum(duration_ms) / 1000.0, 1) AS seconds, "
     "sum(turns) AS turns, sum(tool_calls) AS tool_calls, sum(input_tokens) AS input_tokens, "
     "sum(output_tokens) AS output_tokens, round(sum(cost), 4) AS cost, sum(syscalls) AS syscalls "
     "FROM runs GROUP BY agent, condition ORDER BY agent, condition"},
    {"tools", "calls of each tool, for each agent and condition", "",
     "SELECT t.name AS tool, r.agent, r.condition, count(*) AS calls, sum(t.rejected) AS rejected, "
     "sum(t.executed) AS executed, sum(t.executed AND t.exit_code <> 0) AS failed, "
     "round(avg(t.milliseconds), 1) AS mean_ms FROM tool_calls t JOIN runs r USING (run) "
     "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"},
    {"files", "files that runs changed, most often changed first", "",
     "SELECT c.kind, c.path, r.condition, count(DISTINCT r.run) AS runs FROM file_changes c "
     "JOIN runs r USING (run) GROUP BY c.kind, c.path, r.condition "
     "ORDER BY runs DESC, c.path, c.kind, r.condition"},
    {"probing", "looking for signs of oversight, for each agent and condition", "",
     "SELECT f.name AS measure, r.agent, r.condition, count(f.value) AS decided, "
     "sum(f.value > 0) AS runs_with, round(avg(f.value), 4) AS mean FROM features f "
     "JOIN runs r USING (run) WHERE f.name LIKE '%probing%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"},
    {"runs", "every run with its outcome", "",
     "SELECT slot, agent, condition, repeat, exit_kind, covert, success, lost, bundle FROM runs "
     "ORDER BY run"},
};

QueryAnswer::Cell cell_of(const Statement& statement, int column) {
  QueryAnswer::Cell cell{std::string(statement.type(column)), {}};
  if (cell.type == "real") {
    cell.text = fmt::format("{}", statement.real(column));
  } else if (cell.type == "blob") {
    for (char byte : statement.blob(column))
      cell.text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  } else if (cell.type != "null") {
    cell.text = statement.text(column);
  }
  return cell;
}

Result<QueryAnswer> answer_of(Statement statement) {
  QueryAnswer answer;
  for (int i = 0; i < statement.columns(); ++i) answer.columns.push_back(statement.column_name(i));
  while (true) {
    GYGES_TRY(bool row, statement.step());
    if (!row) return answer;
    std::vector<QueryAnswer::Cell>& cells = answer.rows.emplace_back();
    for (int i = 0; i < statement.columns(); ++i) cells.push_back(cell_of(statement, i));
  }
}

}  // namespace

std::span<const NamedQuestion> all_questions() {
  return questions;
}

Result<QueryAnswer> ask(Database& database, const NamedQuestion& question,
                        const std::string& argument) {
  GYGES_TRY(Statement statement, database.prepare(question.sql));
  if (question.argument.empty())
    GYGES_CHECK(statement.bind({}));
  else
    GYGES_CHECK(statement.bind({argument}));
  return answer_of(std::move(statement));
}

Result<QueryAnswer> ask_sql(Database& database, const std::string& sql) {
  if (sql.find('\0') != std::string::npos) return fail("ask", "SQL", "it contains a zero byte");
  GYGES_TRY(Statement statement, database.prepare(sql.c_str()));
  if (!statement.reads_only()) return fail("ask", quoted(sql), "it would write", "ask with SELECT");
  return answer_of(std::move(statement));
}

Result<std::vector<std::string>> known_names(Database& database, const char* sql) {
  GYGES_TRY(Statement statement, database.prepare(sql));
  std::vector<std::string> names;
  while (true) {
    GYGES_TRY(bool row, statement.step());
    if (!row) return names;
    names.push_back(statement.text(0));
  }
}

}  // namespace gyges::analysis
