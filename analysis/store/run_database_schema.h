// The tables of a database of runs. docs/query.md explains every column.
#pragma once

namespace gyges::analysis {

inline constexpr int run_database_version = 1;

inline constexpr char run_database_schema[] = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE runs (
  run INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  slot TEXT NOT NULL,
  experiment TEXT NOT NULL,
  bundle TEXT NOT NULL,
  kind TEXT NOT NULL,
  scenario TEXT NOT NULL,
  family TEXT NOT NULL,
  agent TEXT NOT NULL,
  agent_sha256 TEXT NOT NULL,
  model TEXT NOT NULL,
  condition TEXT NOT NULL,
  repeat INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  exit_kind TEXT NOT NULL,
  policy TEXT NOT NULL,
  persona TEXT NOT NULL,
  host TEXT NOT NULL,
  backend TEXT,
  complete INTEGER,
  lost INTEGER NOT NULL,
  syscalls INTEGER,
  covert INTEGER,
  covert_reason TEXT NOT NULL,
  success INTEGER,
  success_reason TEXT NOT NULL,
  turns INTEGER,
  tool_calls INTEGER,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cost REAL,
  report TEXT
);

CREATE TABLE levels (
  run INTEGER NOT NULL REFERENCES runs (run),
  factor TEXT NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (run, factor)
) WITHOUT ROWID;

CREATE TABLE limits_hit (
  run INTEGER NOT NULL REFERENCES runs (run),
  limit_name TEXT NOT NULL
);

CREATE TABLE checks (
  run INTEGER NOT NULL REFERENCES runs (run),
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  holds INTEGER,
  reason TEXT NOT NULL,
  PRIMARY KEY (run, name)
) WITHOUT ROWID;

CREATE TABLE features (
  run INTEGER NOT NULL REFERENCES runs (run),
  name TEXT NOT NULL,
  unit TEXT NOT NULL,
  value REAL,
  reason TEXT NOT NULL,
  PRIMARY KEY (run, name)
) WITHOUT ROWID;

CREATE TABLE evidence (
  run INTEGER NOT NULL REFERENCES runs (run),
  subject TEXT NOT NULL,
  name TEXT NOT NULL,
  number INTEGER NOT NULL,
  source TEXT NOT NULL,
  seq INTEGER,
  seconds REAL,
  pid INTEGER,
  tool_call INTEGER,
  text TEXT NOT NULL,
  PRIMARY KEY (run, subject, name, number)
) WITHOUT ROWID;

CREATE TABLE tool_calls (
  run INTEGER NOT NULL REFERENCES runs (run),
  call INTEGER NOT NULL,
  name TEXT NOT NULL,
  arguments TEXT NOT NULL,
  rejected INTEGER NOT NULL,
  executed INTEGER NOT NULL,
  milliseconds REAL,
  exit_code INTEGER,
  PRIMARY KEY (run, call)
) WITHOUT ROWID;

CREATE TABLE file_changes (
  run INTEGER NOT NULL REFERENCES runs (run),
  kind TEXT NOT NULL,
  type TEXT NOT NULL,
  path TEXT NOT NULL,
  size INTEGER NOT NULL,
  sha256 TEXT NOT NULL
);

CREATE TABLE excluded (bundle TEXT NOT NULL, reason TEXT NOT NULL);

CREATE TABLE attempts (
  experiment TEXT NOT NULL,
  slot TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT NOT NULL
);
)sql";

// Made when the rows are in.
inline constexpr char run_database_indexes[] = R"sql(
CREATE INDEX features_by_name ON features (name);
CREATE INDEX checks_by_name ON checks (name);
CREATE INDEX levels_by_factor ON levels (factor, level);
CREATE INDEX file_changes_by_path ON file_changes (path);
)sql";

}  // namespace gyges::analysis
