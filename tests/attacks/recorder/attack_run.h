// Runs an attempt in a recorded sandbox, and as a control where nothing guards.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::attacks {

struct Attempt {
  int exit_code = -1;
  int signal = 0;
  std::string output;  // standard output, at most 1 MiB
  recorder::Coverage coverage;

  // The number of the line "name number"; -1 where there is none.
  [[nodiscard]] long said(const std::string& name) const;
};

// In new pid and mount namespaces, as this user, without Gyges's filter and record; `wrapper` goes
// before the program's name, for example {"strace", "-f"}.
Attempt unguarded(const std::vector<std::string>& arguments,
                  const std::vector<std::string>& wrapper = {});

class AttackTest : public testing::TestWithParam<recorder::Backend> {
 protected:
  void SetUp() override;

  // Runs the program of attempts in a sandbox of the default policy, recorded. The record must be
  // complete.
  Attempt attempt(const std::vector<std::string>& arguments);
  // Any other command.
  Attempt command(const std::vector<std::string>& argv);

  // Every event of the last attempt.
  void each_event(const std::function<void(const recorder::Event&)>& visit);
  // System calls of that name.
  void each_call(std::string_view name, const std::function<void(const recorder::Event&)>& visit);
  long count_calls(std::string_view name);

  [[nodiscard]] bool bpf() const { return GetParam() == recorder::Backend::ebpf; }
  [[nodiscard]] std::filesystem::path trace_file() const;

 private:
  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<recorder::Recorder> recorder_;
  int attempts_ = 0;
};

// Bytes of the first capture of that kind; empty where there is none.
std::string captured(const recorder::Event& event, recorder::CaptureKind kind);
// The kernel's name of the object that a call returned or executed.
std::string used_object(const recorder::Event& event);

}  // namespace gyges::attacks
