#include "sandbox/run/recorded_sandbox.h"

#include "base/text.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/limit_signs.h"
#include "sandbox/run/flow_attribution.h"

namespace gyges::run {
namespace {

// The first failure is the one reported; later ones often follow from it.
void note(RecordEnd& end, const Error& error) {
  if (end.failure)
    end.warnings.push_back(printable(error.line()));
  else
    end.failure = error;
}

}  // namespace

void FlowRoute::lead_to(network::FlowWriter& writer) {
  std::scoped_lock lock(mutex_);
  writer_ = &writer;
}

Status FlowRoute::take(network::Flow flow) {
  std::scoped_lock lock(mutex_);
  if (writer_ == nullptr)
    return fail("record flow", flow.name, "the run has not begun", "report this as a defect");
  return writer_->write(std::move(flow));
}

Result<std::unique_ptr<RecordedSandbox>> RecordedSandbox::start(
    isolation::SandboxSpec spec, const recorder::BundleWriter& bundle, recorder::Recorder* recorder,
    isolation::SandboxPool* pool, std::shared_ptr<FlowRoute> route) {
  std::unique_ptr<RecordedSandbox> made(new RecordedSandbox);
  if (recorder != nullptr) {
    recorder::SessionOptions options;
    options.trace_file = bundle.trace_file();
    options.buffer_bytes = spec.policy.recorder.buffer_bytes;
    options.contents = recorder::content_bits(spec.policy.recorder.contents);
    options.content_bytes = spec.policy.recorder.content_bytes;
    GYGES_TRY(made->session_, recorder->start(options));
    GYGES_CHECK(made->session_->wait_until_open());
  }
  if (spec.policy.network.mode != network::NetworkPolicy::Mode::none) {
    GYGES_TRY(network::FlowWriter flows, network::FlowWriter::create(bundle.directory()));
    made->flows_ = std::make_unique<network::FlowWriter>(std::move(flows));
    made->route_ = route ? std::move(route) : std::make_shared<FlowRoute>();
    made->route_->lead_to(*made->flows_);
  }
  if (pool != nullptr) {
    GYGES_TRY(made->sandbox_, pool->take(made->session_.get()));
    return made;
  }
  spec.session = made->session_.get();
  if (made->route_)
    spec.flows = [to = made->route_](network::Flow flow) { return to->take(std::move(flow)); };
  GYGES_TRY(made->sandbox_, isolation::Sandbox::start(spec));
  return made;
}

RecordEnd RecordedSandbox::finish(const isolation::Limits& limits,
                                  const recorder::BundleWriter& bundle) {
  RecordEnd record;
  auto contents = isolation::contents_directory(bundle.directory());
  if (!contents) note(record, contents.error());
  auto end = sandbox_->stop(contents ? *contents : "");
  if (end) {
    record.limits_hit = end->limits_hit;
    if (!end->network_ports.empty()) record.warnings.push_back(printable(end->network_ports));
    if (end->network_copies) record.warnings.emplace_back(isolation::copied_network);
    if (!end->network_failure.empty())
      record.warnings.push_back("the record of the network is incomplete: " +
                                printable(end->network_failure));
    if (!end->changes_complete)
      record.warnings.emplace_back(
          "the file changes are incomplete: the tree is larger than the limits of collection, or "
          "part of it could not be read");
    if (auto written = isolation::write_changes(bundle.directory(), *end); !written)
      note(record, written.error());
  } else {
    note(record, end.error());
    record.limits_hit = sandbox_->limits_hit();
  }
  sandbox_.reset();
  if (flows_)
    if (auto finished = flows_->finish(); !finished) note(record, finished.error());
  if (!session_) {
    record.warnings.emplace_back("system calls were not recorded");
    return record;
  }
  auto coverage = session_->close();
  if (!coverage) {
    note(record, coverage.error());
    return record;
  }
  record.coverage = std::move(*coverage);
  if (end && !end->network_ports.empty())
    record.coverage->degraded.push_back(printable(end->network_ports));
  if (!record.coverage->complete)
    record.warnings.emplace_back("the record of system calls is incomplete; see coverage");
  isolation::add_limits_of_record(limits, record.coverage->signs, record.limits_hit);
  // Without it the flows still stand, and say "none".
  if (flows_)
    if (auto joined = attribute_flows(bundle.directory()); !joined)
      record.warnings.push_back("flows could not be joined with the processes that caused them: " +
                                printable(joined.error().line()));
  return record;
}

}  // namespace gyges::run
