// Traces in forms other tools read.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::cli {

// One line of ASCII: it cannot drive a terminal that it is shown on.
std::string json_line(const nlohmann::json& json);

// Each writes `output` beside itself first and renames it, so that a failed export leaves no half
// file. A damaged trace is exported as far as it is good; the error then names the damage and
// `output` exists.

// One JSON object a line, as `gyges trace show --json` prints them.
Status export_jsonl(recorder::TraceReader& reader, const std::filesystem::path& output);

// Tables events, paths and trace; see docs/trace_format.md.
Status export_sqlite(recorder::TraceReader& reader, const std::filesystem::path& output);

// Chrome trace event JSON, which ui.perfetto.dev opens: one track a thread.
Status export_perfetto(recorder::TraceReader& reader, const std::filesystem::path& output);

}  // namespace gyges::cli
