// gyges query: questions to stored runs, by name or in SQL.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "analysis/report/csv_report.h"
#include "analysis/store/questions.h"
#include "analysis/store/run_database.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/findings_file.h"

namespace gyges::cli {
namespace {

using analysis::QueryAnswer;

struct QueryOptions {
  std::string directory;
  std::vector<std::string> further;
  std::string question;
  std::string argument;
  std::string sql;
  std::string save;
  double seconds = 60;
  bool json = false;
  bool csv = false;
  bool no_cache = false;
};

std::string list_of_questions() {
  std::string text = "Questions:\n";
  for (const analysis::NamedQuestion& question : analysis::all_questions()) {
    std::string name(question.name);
    if (!question.argument.empty()) name += " " + std::string(question.argument);
    text += "  " + name + std::string(name.size() < 16 ? 16 - name.size() : 1, ' ') +
            std::string(question.title) + "\n";
  }
  return text;
}

// Columns of a table for people start at the same place on every line.
std::string table_text(const QueryAnswer& answer) {
  std::vector<std::size_t> widths;
  for (const std::string& column : answer.columns) widths.push_back(column.size());
  auto shown = [](const QueryAnswer::Cell& cell) {
    return cell.type == "null" ? std::string("-") : printable(cell.text);
  };
  for (const auto& row : answer.rows)
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], shown(row[i]).size());
  std::string text;
  auto add = [&](std::size_t column, const std::string& value, bool right) {
    std::string padding(widths[column] - value.size(), ' ');
    if (column > 0) text += "  ";
    bool last = column + 1 == widths.size();
    text += right ? padding + value : last ? value : value + padding;
  };
  for (std::size_t i = 0; i < widths.size(); ++i)
    add(i, answer.columns[i],
        !answer.rows.empty() &&
            (answer.rows[0][i].type == "integer" || answer.rows[0][i].type == "real"));
  text += "\n";
  for (const auto& row : answer.rows) {
    for (std::size_t i = 0; i < row.size(); ++i)
      add(i, shown(row[i]), row[i].type == "integer" || row[i].type == "real");
    text += "\n";
  }
  return text;
}

std::string cell_of_csv(const QueryAnswer::Cell& cell) {
  return cell.type == "text" ? analysis::csv_cell(cell.text) : printable(cell.text);
}

std::string csv_text(const QueryAnswer& answer) {
  std::string text = join(answer.columns, ",") + "\n";
  for (const auto& row : answer.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) text += (i > 0 ? "," : "") + cell_of_csv(row[i]);
    text += "\n";
  }
  return text;
}

nlohmann::json json_cell(const QueryAnswer::Cell& cell) {
  if (cell.type == "null") return nullptr;
  if (cell.type == "integer") return std::stoll(cell.text);
  if (cell.type == "real") return std::stod(cell.text);
  return cell.text;
}

std::string json_answer(const QueryAnswer& answer, const analysis::RunDatabase& store) {
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& row : answer.rows) {
    nlohmann::json& object = rows.emplace_back(nlohmann::json::object());
    for (std::size_t i = 0; i < row.size(); ++i) object[answer.columns[i]] = json_cell(row[i]);
  }
  nlohmann::json document{{"runs", store.runs},
                          {"excluded", store.excluded.size()},
                          {"columns", answer.columns},
                          {"rows", std::move(rows)}};
  return document.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<const analysis::NamedQuestion*> find_question(const QueryOptions& options) {
  for (const analysis::NamedQuestion& question : analysis::all_questions()) {
    if (question.name != options.question) continue;
    if (question.argument.empty() == options.argument.empty()) return &question;
    return fail("ask", options.question,
                question.argument.empty() ? "takes no argument"
                                          : "needs a " + std::string(question.argument),
                "gyges query DIR " + std::string(question.name) +
                    (question.argument.empty() ? "" : " " + std::string(question.argument)));
  }
  return fail("ask", options.question, "there is no such question",
              "see `gyges query --help`, or ask with --sql");
}

// A name that no run has is a slip of the pen, not an empty answer.
Status check_argument(Database& database, const analysis::NamedQuestion& question,
                      const std::string& argument) {
  if (question.argument.empty()) return ok();
  GYGES_TRY(std::vector<std::string> names,
            analysis::known_names(database, question.argument == "FEATURE"
                                                ? "SELECT DISTINCT name FROM features ORDER BY 1"
                                                : "SELECT DISTINCT name FROM checks ORDER BY 1"));
  if (std::find(names.begin(), names.end(), argument) != names.end()) return ok();
  return fail("ask", argument, "no run has it", "one of " + join(names, ", "));
}

void note_excluded(const analysis::RunDatabase& store) {
  if (store.excluded.empty()) return;
  const analysis::ExcludedRun& first = store.excluded.front();
  std::fprintf(
      stderr,
      "gyges: %zu of %zu bundles are left out (`gyges query DIR excluded`); the first: %s: %s\n",
      store.excluded.size(), store.excluded.size() + store.runs,
      printable(first.bundle.string()).c_str(), printable(first.reason).c_str());
}

void show_query_progress(std::size_t done, std::size_t all) {
  std::fprintf(stderr, "\rreading runs: %zu of %zu%s", done, all, done == all ? "\r\x1b[K" : "");
}

Status run_query(const QueryOptions& options) {
  const analysis::NamedQuestion* question = nullptr;
  if (!options.question.empty()) {
    GYGES_TRY(question, find_question(options));
  }
  std::vector<std::filesystem::path> directories{options.directory};
  directories.insert(directories.end(), options.further.begin(), options.further.end());
  std::unique_ptr<analysis::FindingsStore> kept =
      options.no_cache ? nullptr : open_findings_store();
  analysis::ReadOptions reading;
  reading.store = kept.get();
  if (::isatty(STDERR_FILENO) == 1) reading.progress = show_query_progress;
  GYGES_TRY(analysis::RunDatabase store,
            analysis::build_run_database(directories, reading, options.save));
  if (kept != nullptr && !kept->problem().empty()) warn_findings_not_kept(kept->problem());
  note_excluded(store);
  if (question == nullptr && options.sql.empty()) return ok();
  if (question != nullptr) GYGES_CHECK(check_argument(store.database, *question, options.argument));
  GYGES_CHECK(store.database.allow_reading_only(options.seconds));
  GYGES_TRY(QueryAnswer answer, question != nullptr
                                    ? analysis::ask(store.database, *question, options.argument)
                                    : analysis::ask_sql(store.database, options.sql));
  std::string text = options.json  ? json_answer(answer, store)
                     : options.csv ? csv_text(answer)
                                   : table_text(answer);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    return fail_errno("write", "standard output");
  return ok();
}

}  // namespace

void add_query(CLI::App& root, int& exit_status) {
  auto options = std::make_shared<QueryOptions>();
  CLI::App* command = root.add_subcommand(
      "query", "Ask stored runs: rates, features, losses, costs by name, or anything in SQL");
  command
      ->add_option("DIR", options->directory,
                   "experiment directory, directory with run bundles, or bundle")
      ->required();
  command->add_option("QUESTION", options->question, "one of the questions below");
  command->add_option("ARGUMENT", options->argument, "the feature or check that is asked about");
  auto* sql = command->add_option(
      "--sql", options->sql, "a SELECT over the tables of docs/query.md instead of a question");
  command->add_option("--and", options->further, "further directories");
  auto* json = command->add_flag("--json", options->json, "print JSON");
  command->add_flag("--csv", options->csv, "print CSV; what is not known is empty")->excludes(json);
  command->add_option("--save", options->save,
                      "write the tables to this SQLite file, for pandas, R and DuckDB");
  command->add_option("--timeout", options->seconds, "seconds that an answer may take")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  command->add_flag("--no-cache", options->no_cache,
                    "hash and read every bundle; neither use nor keep findings");
  command->footer(
      list_of_questions() +
      "\nBundles that are unfit are named on standard error and in `excluded`.\n\n"
      "Examples:\n"
      "  gyges query out/demo rates\n"
      "  gyges query out/demo with credential_opened --csv\n"
      "  gyges query out/demo --sql \"SELECT path, count(*) FROM file_changes GROUP BY 1\"\n"
      "  gyges query out/demo --save runs.sqlite");
  command->callback([options, sql, &exit_status] {
    int asked = (options->question.empty() ? 0 : 1) + (sql->count() > 0 ? 1 : 0);
    Status status =
        asked > 1 ? Status(fail("ask", options->question, "is asked together with --sql",
                                "ask one at a time"))
        : asked == 0 && options->save.empty()
            ? Status(fail("ask", options->directory, "nothing was asked",
                          "name a question, see `gyges query --help`, or use --sql or --save"))
            : run_query(*options);
    exit_status = status ? 0 : report(status.error());
  });
}

}  // namespace gyges::cli
