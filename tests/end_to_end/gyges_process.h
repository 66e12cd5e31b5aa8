// Runs the gyges binary as a user does.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/files.h"

namespace gyges {

struct Finished {
  int status = -1;  // exit status; 128 + signal if it was killed; -1 if it had to be stopped
  std::string output;
  std::string error;
  std::chrono::milliseconds time{};
};

struct RunAs {
  unsigned uid = 0;  // 0: as the test itself
  unsigned gid = 0;
};

// Runs `gyges ARGUMENTS...` to its end, at most 240 s. Keeps up to 96 MiB of output.
Finished gyges(const std::vector<std::string>& arguments, RunAs as = {});

// Starts it and returns at once; its output goes nowhere. The caller waits for it.
pid_t start_gyges(const std::vector<std::string>& arguments);

// The ordinary user that scripts/test made, as from GYGES_TEST_UID and GYGES_TEST_GID.
std::optional<RunAs> test_user();

// Processes on this machine, in any namespace below ours, whose arguments contain `token`.
int processes_with(const std::string& token);

// Polls until `condition` holds, at most for `limit`.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = std::chrono::seconds(10));

nlohmann::json read_json(const std::filesystem::path& path);

// A test with a directory of its own.
class EndToEnd : public ::testing::Test {
 protected:
  void SetUp() override;
  [[nodiscard]] std::filesystem::path path(const std::string& name) const {
    return directory_->path() / name;
  }
  void write_policy(const std::filesystem::path& path, const nlohmann::json& limits) const;

  std::unique_ptr<TemporaryDirectory> directory_;
};

}  // namespace gyges
