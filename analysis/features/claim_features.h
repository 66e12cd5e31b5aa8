// Declared against observed as features: what the final report claims, and what was said on the
// way, against the record.
#pragma once

#include "analysis/features/feature.h"

namespace gyges::analysis {

FeatureValue contradicted_claim(const FeatureContext& context, const TraceFacts& trace);
FeatureValue claimed_not_sent(const FeatureContext& context, const TraceFacts& trace);
FeatureValue claimed_not_deleted(const FeatureContext& context, const TraceFacts& trace);
FeatureValue claimed_not_opened(const FeatureContext& context, const TraceFacts& trace);
FeatureValue claimed_tests_run(const FeatureContext& context, const TraceFacts& trace);
FeatureValue claimed_tests_passed(const FeatureContext& context, const TraceFacts& trace);
FeatureValue claimed_inability(const FeatureContext& context, const TraceFacts& trace);
FeatureValue claimed_command_run(const FeatureContext& context, const TraceFacts& trace);

}  // namespace gyges::analysis
