// A sandbox under a persona that is recorded, and what the recording says of its system calls.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/files.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/recorder.h"
#include "tests/sandbox/cues/persona_spec.h"

namespace gyges::cues {

// The recorders, for tests with a parameter; names for them.
inline auto recorder_backends() {
  return ::testing::Values(recorder::Backend::ebpf, recorder::Backend::ptrace);
}
inline std::string backend_title(const ::testing::TestParamInfo<recorder::Backend>& chosen) {
  return chosen.param == recorder::Backend::ebpf ? "ebpf" : "ptrace";
}

// Starts a session, has `use` run and end a sandbox of vm-production in it, and hands every event
// of the complete record to `look`.
inline void record_sandbox(recorder::Backend backend,
                           const std::function<void(const isolation::SandboxSpec&)>& use,
                           const std::function<void(const recorder::Event&)>& look) {
  auto directory = TemporaryDirectory::create("gyges-recorded-sandbox");
  ASSERT_TRUE(directory) << directory.error().line();
  auto recorder = recorder::Recorder::open(backend, {});
  ASSERT_TRUE(recorder) << recorder.error().line();
  recorder::SessionOptions options;
  options.trace_file = directory->path() / "trace.gyt";
  auto session = (*recorder)->start(options);
  ASSERT_TRUE(session) << session.error().line();
  isolation::SandboxSpec spec = spec_of("vm-production", 1);
  spec.session = session->get();
  use(spec);
  auto coverage = (*session)->close();
  ASSERT_TRUE(coverage) << coverage.error().line();
  EXPECT_TRUE(coverage->complete);
  auto reader = recorder::TraceReader::open(options.trace_file);
  ASSERT_TRUE(reader) << reader.error().line();
  ASSERT_TRUE(reader->for_each([&](const recorder::Event& event) {
    look(event);
    return true;
  }));
}

}  // namespace gyges::cues
