#include "cli/trace_export.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "base/json.h"
#include "base/output_file.h"
#include "base/text.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/flag_sets.h"
#include "sandbox/recorder/format/resolved_paths.h"

namespace gyges::cli {
namespace fs = std::filesystem;
using namespace recorder;

std::string json_line(const nlohmann::json& json) {
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

namespace {

// A text file under construction.
class ExportFile {
 public:
  static Result<ExportFile> create(const fs::path& output) {
    std::optional<PartialFile> partial;
    if (!is_written_in_place(output)) {
      GYGES_TRY(partial, PartialFile::beside(output));
    }
    std::FILE* file = std::fopen((partial ? partial->path() : output).c_str(), "wbe");
    if (file == nullptr) return fail_errno("create export", output.string());
    return ExportFile(file, std::move(partial), output);
  }

  void write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) good_ = false;
  }

  Status finish() {
    bool closed = std::fclose(file_.release()) == 0;
    if (!closed || !good_)
      return fail("write export", output_.string(), "the disk is full or failing");
    return partial_ ? partial_->keep() : ok();
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  ExportFile(std::FILE* file, std::optional<PartialFile> partial, fs::path output)
      : file_(file), partial_(std::move(partial)), output_(std::move(output)) {}
  std::unique_ptr<std::FILE, Close> file_;
  std::optional<PartialFile> partial_;  // none: written in place
  fs::path output_;
  bool good_ = true;
};

class Database {
 public:
  // `place` is where the user wants it, for messages.
  Database(fs::path path, fs::path place) : path_(std::move(path)), place_(std::move(place)) {}
  ~Database() {
    for (sqlite3_stmt* statement : {insert_event_, insert_path_}) sqlite3_finalize(statement);
    sqlite3_close(handle_);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Status open() {
    if (int code = sqlite3_open(path_.c_str(), &handle_); code != SQLITE_OK) {
      const int reason = handle_ != nullptr ? sqlite3_system_errno(handle_) : 0;
      return reason != 0 ? fail_errno("create export", place_.string(), reason) : check(code);
    }
    GYGES_CHECK(
        run("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE trace(key TEXT PRIMARY KEY, value);"
            "CREATE TABLE events(seq INTEGER PRIMARY KEY, time_ns INTEGER, kind TEXT,"
            " pid INTEGER, tid INTEGER, inside_pid INTEGER, syscall TEXT, abi TEXT,"
            " result INTEGER, errno TEXT, duration_ns INTEGER, verdict TEXT,"
            " tool_call INTEGER, origin_call INTEGER, text TEXT);"
            "CREATE TABLE paths(seq INTEGER REFERENCES events(seq), argument INTEGER,"
            " path TEXT, provenance TEXT, mutation INTEGER);"
            "BEGIN;"));
    GYGES_CHECK(check(sqlite3_prepare_v2(handle_,
                                         "INSERT INTO events VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                                         -1, &insert_event_, nullptr)));
    return check(sqlite3_prepare_v2(handle_, "INSERT INTO paths VALUES(?,?,?,?,?)", -1,
                                    &insert_path_, nullptr));
  }

  Status add_fact(std::string_view key, std::string_view value) {
    sqlite3_stmt* statement = nullptr;
    GYGES_CHECK(check(
        sqlite3_prepare_v2(handle_, "INSERT INTO trace VALUES(?,?)", -1, &statement, nullptr)));
    bind(statement, 1, key);
    bind(statement, 2, value);
    int done = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return done == SQLITE_DONE ? ok() : check(done);
  }

  Status add(const Event& event, const std::vector<ResolvedPath>& paths,
             const PathResolver& names) {
    bool is_call = event.kind == EventKind::syscall;
    sqlite3_stmt* s = insert_event_;
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    bind(s, 1, static_cast<std::int64_t>(event.sequence));
    bind(s, 2, static_cast<std::int64_t>(event.time_ns));
    bind(s, 3, event_kind_name(event.kind));
    bind(s, 4, std::int64_t{event.pid});
    bind(s, 5, std::int64_t{event.tid});
    if (event.inside_pid != 0) bind(s, 6, std::int64_t{event.inside_pid});
    if (is_call) bind(s, 7, syscall_name(event.abi, event.number));
    bind(s, 8, abi_name(event.abi));
    if (event.has_exit) bind(s, 9, event.result);
    if (is_call && event.has_exit && event.result < 0) bind(s, 10, errno_name(-event.result));
    bind(s, 11, static_cast<std::int64_t>(event.duration_ns));
    bind(s, 12, verdict_name(event.verdict));
    if (tool_call_of(event) != 0) bind(s, 13, std::int64_t{tool_call_of(event)});
    if (event.origin_call != 0) bind(s, 14, std::int64_t{event.origin_call});
    bind(s, 15, format_event(event, &names));
    if (int done = sqlite3_step(s); done != SQLITE_DONE) return check(done);
    for (const ResolvedPath& path : paths) {
      sqlite3_reset(insert_path_);
      bind(insert_path_, 1, static_cast<std::int64_t>(event.sequence));
      bind(insert_path_, 2, std::int64_t{path.argument});
      bind(insert_path_, 3, valid_utf8(path.path));
      bind(insert_path_, 4, provenance_name(path.provenance));
      bind(insert_path_, 5, std::int64_t{path.mutation ? 1 : 0});
      if (int done = sqlite3_step(insert_path_); done != SQLITE_DONE) return check(done);
    }
    return ok();
  }

  Status finish() {
    return run(
        "COMMIT; CREATE INDEX events_by_syscall ON events(syscall);"
        "CREATE INDEX events_by_tool_call ON events(tool_call);"
        "CREATE INDEX paths_by_path ON paths(path);");
  }

 private:
  Status run(const char* sql) {
    return check(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr));
  }
  Status check(int code) {
    if (code == SQLITE_OK) return ok();
    return fail("write export", place_.string(),
                handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
  }
  static void bind(sqlite3_stmt* statement, int column, std::int64_t value) {
    sqlite3_bind_int64(statement, column, value);
  }
  static void bind(sqlite3_stmt* statement, int column, std::string_view text) {
    sqlite3_bind_text(statement, column, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
  }

  fs::path path_;
  fs::path place_;
  sqlite3* handle_ = nullptr;
  sqlite3_stmt* insert_event_ = nullptr;
  sqlite3_stmt* insert_path_ = nullptr;
};

std::string perfetto_name(const Event& event) {
  if (event.kind == EventKind::syscall) return syscall_name(event.abi, event.number);
  return std::string(event_kind_name(event.kind));
}

}  // namespace

Status export_jsonl(TraceReader& reader, const fs::path& output) {
  GYGES_TRY(ExportFile file, ExportFile::create(output));
  PathResolver names;
  Status read = reader.for_each([&](const Event& event) {
    std::vector<ResolvedPath> paths = names.paths_of(event);
    file.write(json_line(event_to_json(event, paths, &names)) + "\n");
    return true;
  });
  GYGES_CHECK(file.finish());
  return read;
}

Status export_sqlite(TraceReader& reader, const fs::path& output) {
  if (is_written_in_place(output))
    return fail("create export", output.string(), "it is a link, a device or a FIFO",
                "name a file, as a database is not written from beginning to end");
  GYGES_TRY(PartialFile partial, PartialFile::beside(output));
  Status read = ok();
  {
    Database database(partial.path(), output);
    GYGES_CHECK(database.open());
    GYGES_CHECK(database.add_fact("backend", backend_name(reader.backend())));
    GYGES_CHECK(
        database.add_fact("realtime_base_ns", fmt::format("{}", reader.realtime_base_ns())));
    PathResolver names;
    Status added = ok();
    read = reader.for_each([&](const Event& event) {
      std::vector<ResolvedPath> paths = names.paths_of(event);
      added = database.add(event, paths, names);
      return added.has_value();
    });
    GYGES_CHECK(std::move(added));
    GYGES_CHECK(database.finish());
  }
  GYGES_CHECK(partial.keep());
  return read;
}

Status export_perfetto(TraceReader& reader, const fs::path& output) {
  GYGES_TRY(ExportFile file, ExportFile::create(output));
  PathResolver names;
  file.write("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
  bool first = true;
  auto add = [&](const nlohmann::json& json) {
    file.write((first ? "" : ",\n") + json_line(json));
    first = false;
  };
  Status read = reader.for_each([&](const Event& event) {
    std::vector<ResolvedPath> paths = names.paths_of(event);
    for (const Capture& capture : event.captures)
      if (event.kind == EventKind::process_exec && !identity_path(capture).empty())
        add({{"ph", "M"},
             {"name", "process_name"},
             {"pid", event.pid},
             {"args", {{"name", printable(identity_path(capture))}}}});
    nlohmann::json arguments{{"text", format_event(event, &names)}, {"seq", event.sequence}};
    if (tool_call_of(event) != 0) arguments["tool_call"] = tool_call_of(event);
    double start_us = static_cast<double>(event.time_ns) / 1000.0;
    nlohmann::json json{{"name", perfetto_name(event)},
                        {"ts", start_us},
                        {"pid", event.pid},
                        {"tid", event.tid},
                        {"args", std::move(arguments)}};
    if (event.kind == EventKind::syscall || event.kind == EventKind::recorder_wait ||
        event.kind == EventKind::io_uring) {
      json["ph"] = "X";
      json["dur"] = static_cast<double>(event.duration_ns) / 1000.0;
    } else {
      json["ph"] = "i";
      json["s"] = "t";
    }
    add(json);
    return true;
  });
  file.write("\n]}\n");
  GYGES_CHECK(file.finish());
  return read;
}

}  // namespace gyges::cli
