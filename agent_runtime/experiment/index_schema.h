// The tables of index.sqlite. docs/results_store.md explains every column.
#pragma once

namespace gyges::experiment {

inline constexpr char index_schema[] = R"sql(
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE conditions (
  condition TEXT NOT NULL,
  factor TEXT NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (condition, factor)
) WITHOUT ROWID;

CREATE TABLE slots (
  slot TEXT PRIMARY KEY,
  position INTEGER NOT NULL UNIQUE,
  scenario TEXT NOT NULL,
  family TEXT NOT NULL,
  agent TEXT NOT NULL,
  condition TEXT NOT NULL,
  repeat INTEGER NOT NULL,
  seed INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
  slot TEXT PRIMARY KEY REFERENCES slots (slot),
  run_id TEXT,
  bundle TEXT NOT NULL,
  started_at TEXT,
  duration_ms REAL,
  exit_kind TEXT,
  exit_code INTEGER,
  exit_signal INTEGER,
  exit_reason TEXT,
  backend TEXT,
  complete INTEGER,
  lost INTEGER,
  events INTEGER,
  syscalls INTEGER,
  trace_bytes INTEGER,
  fault TEXT,
  seal_size INTEGER NOT NULL,
  seal_mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE run_levels (
  slot TEXT NOT NULL REFERENCES runs (slot) ON DELETE CASCADE,
  factor TEXT NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (slot, factor)
) WITHOUT ROWID;

CREATE TABLE limits_hit (
  slot TEXT NOT NULL REFERENCES runs (slot) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  limit_name TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (slot, number)
) WITHOUT ROWID;

CREATE TABLE checks (
  slot TEXT NOT NULL REFERENCES runs (slot) ON DELETE CASCADE,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  PRIMARY KEY (slot, name)
) WITHOUT ROWID;

CREATE TABLE attempts (
  number INTEGER PRIMARY KEY,
  slot TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT NOT NULL
);
)sql";

}  // namespace gyges::experiment
