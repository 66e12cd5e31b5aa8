// A small sealed bundle for tests, with a state directory of its own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/coverage.h"

namespace gyges::recorder::testing {

nlohmann::json sample_run(const Coverage& coverage);

class SealedBundle : public ::testing::Test {
 protected:
  void SetUp() override;
  // Writes and seals a bundle: `events` events, a blob, a transcript. Returns its run.json.
  nlohmann::json make_bundle(const std::filesystem::path& directory, std::size_t events = 500);
  std::vector<BundleFault> faults();
  nlohmann::json seal();
  void write_seal(const nlohmann::json& seal);

  std::optional<TemporaryDirectory> parent_;
  SealPlaces places_;
  std::filesystem::path directory_;
};

}  // namespace gyges::recorder::testing
