// Takes alerts of a watch to where people look: files of JSON lines, webhooks, syslog, and
// OpenTelemetry collectors.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "analysis/watch/alert.h"
#include "base/error.h"

namespace gyges::cli {

enum class AlertForm { own, ocsf, ecs };

class AlertReceiver {
 public:
  virtual ~AlertReceiver() = default;
  // Under which deliveries are remembered.
  [[nodiscard]] virtual std::string name() const = 0;
  // An error: it is to be tried again later.
  virtual Status deliver(const analysis::Alert& alert) = 0;
};

// Appends one line for each alert, synced. An alert whose id stands in the file already is not
// written again: a watch that was killed between writing and remembering would. A half line at the
// end is cut.
std::unique_ptr<AlertReceiver> alert_file(const std::string& path, AlertForm form);
// POST of JSON, with the alert's id in Idempotency-Key, for a receiver that was asked twice.
std::unique_ptr<AlertReceiver> alert_webhook(const std::string& url, AlertForm form,
                                             const std::vector<std::string>& headers);
// A datagram after RFC 5424 to the socket, /dev/log by default.
std::unique_ptr<AlertReceiver> alert_syslog(const std::string& socket);
// The run as spans after the conventions for generative AI, with the alert as an event of the
// agent's span, as OTLP/JSON to ENDPOINT/v1/traces.
std::unique_ptr<AlertReceiver> alert_otlp(const std::string& endpoint,
                                          const std::vector<std::string>& headers);

}  // namespace gyges::cli
