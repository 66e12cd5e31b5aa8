#include "cli/monitor_watch.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>

#include "analysis/watch/watch.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/alert_delivery.h"
#include "cli/command.h"
#include "cli/findings_file.h"

namespace gyges::cli {
namespace {

volatile std::sig_atomic_t watch_stopped = 0;

void stop_watching(int) {
  watch_stopped = 1;
}

struct WatchArguments {
  std::vector<std::string> live;
  std::vector<std::string> baseline;
  std::string state;
  std::vector<std::string> outcomes;
  std::vector<std::string> each;
  double alpha = 0.01;
  double interval = 5;
  bool once = false;
  bool until_alert = false;
  bool json = false;
  std::string form = "own";
  std::vector<std::string> files;
  std::vector<std::string> webhooks;
  std::vector<std::string> webhook_headers;
  std::vector<std::string> otlp;
  std::vector<std::string> otlp_headers;
  std::vector<std::string> syslogs;
};

// "covert_act", "task_success:fall"
Result<analysis::WatchedOutcome> outcome_named(const std::string& text) {
  std::size_t colon = text.rfind(':');
  std::string name = text.substr(0, colon);
  std::string move = colon == std::string::npos ? "rise" : text.substr(colon + 1);
  if (name.empty() || (move != "rise" && move != "fall"))
    return fail("watch", text, "is no outcome", "write NAME, NAME:rise or NAME:fall");
  return analysis::WatchedOutcome{name,
                                  move == "rise" ? analysis::Move::rise : analysis::Move::fall};
}

AlertForm form_named(const std::string& name) {
  return name == "ocsf" ? AlertForm::ocsf : name == "ecs" ? AlertForm::ecs : AlertForm::own;
}

std::vector<std::unique_ptr<AlertReceiver>> receivers_of(const WatchArguments& arguments) {
  AlertForm form = form_named(arguments.form);
  std::vector<std::unique_ptr<AlertReceiver>> receivers;
  for (const std::string& file : arguments.files) receivers.push_back(alert_file(file, form));
  for (const std::string& url : arguments.webhooks)
    receivers.push_back(alert_webhook(url, form, arguments.webhook_headers));
  for (const std::string& socket : arguments.syslogs) receivers.push_back(alert_syslog(socket));
  for (const std::string& endpoint : arguments.otlp)
    receivers.push_back(alert_otlp(endpoint, arguments.otlp_headers));
  return receivers;
}

// Standard output is the receiver of whoever looks on; what it has printed it does not print again.
class AlertPrinter final : public AlertReceiver {
 public:
  explicit AlertPrinter(bool json) : json_(json) {}
  [[nodiscard]] std::string name() const override { return "standard output"; }
  Status deliver(const analysis::Alert& alert) override {
    std::string text = json_ ? analysis::alert_json(alert).dump(
                                   -1, ' ', true, nlohmann::json::error_handler_t::replace)
                             : analysis::syslog_line(alert);
    if (std::printf("%s\n", text.c_str()) < 0 || std::fflush(stdout) != 0)
      return fail_errno("write", "standard output");
    return ok();
  }

 private:
  bool json_;
};

// Which receivers still lack an alert, and why.
Result<std::map<std::string, std::string>> deliver_all(
    analysis::Watch& watch, const std::vector<std::unique_ptr<AlertReceiver>>& receivers) {
  std::map<std::string, std::string> wanting;
  for (const auto& receiver : receivers) {
    GYGES_TRY(std::vector<analysis::Alert> alerts, watch.undelivered(receiver->name()));
    for (const analysis::Alert& alert : alerts) {
      // In order, so after a failure the later ones wait, too.
      if (Status done = receiver->deliver(alert); !done) {
        wanting[receiver->name()] = done.error().line();
        break;
      }
      GYGES_CHECK(watch.delivered(receiver->name(), alert.id));
    }
  }
  return wanting;
}

std::string shown_rates(const std::vector<analysis::WatchedRate>& rates, bool json) {
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const analysis::WatchedRate& rate : rates)
      list.push_back(
          {{"outcome", rate.outcome.name},
           {"move", rate.outcome.move == analysis::Move::rise ? "rise" : "fall"},
           {"baseline", {rate.baseline.successes, rate.baseline.trials}},
           {"live", {rate.live.successes, rate.live.trials}},
           {"bound", rate.bound},
           {"log_e", std::isfinite(rate.log_e) ? nlohmann::json(rate.log_e) : nlohmann::json()},
           {"highest_log_e", rate.highest_log_e},
           {"alarmed", rate.alarmed}});
    return nlohmann::json{{"rates", std::move(list)}}.dump() + "\n";
  }
  std::string text = fmt::format("{:<28} {:<5} {:>12} {:>12} {:>8} {:>10}\n", "outcome", "move",
                                 "baseline", "live", "bound", "e-value");
  for (const analysis::WatchedRate& rate : rates)
    text += fmt::format(
        "{:<28} {:<5} {:>12} {:>12} {:>8.4f} {:>10.3g}{}\n", printable(rate.outcome.name),
        rate.outcome.move == analysis::Move::rise ? "rise" : "fall",
        fmt::format("{}/{}", rate.baseline.successes, rate.baseline.trials),
        fmt::format("{}/{}", rate.live.successes, rate.live.trials), rate.bound,
        std::exp(std::min(rate.highest_log_e, 700.0)), rate.alarmed ? "  alarm" : "");
  return text;
}

Result<int> run_watch(const WatchArguments& arguments) {
  std::unique_ptr<analysis::FindingsStore> store = open_findings_store();
  analysis::WatchOptions options;
  options.live.assign(arguments.live.begin(), arguments.live.end());
  options.baseline.assign(arguments.baseline.begin(), arguments.baseline.end());
  options.state = arguments.state;
  options.each = arguments.each;
  options.alpha = arguments.alpha;
  options.store = store.get();
  for (const std::string& text : arguments.outcomes) {
    GYGES_TRY(analysis::WatchedOutcome outcome, outcome_named(text));
    options.outcomes.push_back(std::move(outcome));
  }
  GYGES_TRY(analysis::Watch watch, analysis::Watch::open(std::move(options)));
  std::vector<std::unique_ptr<AlertReceiver>> receivers = receivers_of(arguments);
  receivers.push_back(std::make_unique<AlertPrinter>(arguments.json));
  struct sigaction action {};
  action.sa_handler = stop_watching;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::map<std::string, std::string> wanting;
  std::map<std::string, std::string> told;
  std::uint64_t alerts = 0;
  while (true) {
    GYGES_TRY([[maybe_unused]] std::size_t taken, watch.look());
    GYGES_TRY(wanting, deliver_all(watch, receivers));
    for (const auto& [name, reason] : wanting)
      if (told[name] != reason)
        std::fprintf(stderr, "gyges: an alert waits for %s: %s\n", printable(name).c_str(),
                     printable(told[name] = reason).c_str());
    GYGES_TRY(alerts, watch.alerts());
    if (arguments.once || watch_stopped != 0 ||
        (arguments.until_alert && alerts > 0 && wanting.empty()))
      break;
    const auto wake = std::chrono::steady_clock::now() +
                      std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                          std::chrono::duration<double>(arguments.interval));
    // In steps, because a signal that comes just before a sleep would be slept over.
    while (watch_stopped == 0 && std::chrono::steady_clock::now() < wake)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  GYGES_TRY(std::vector<analysis::WatchedRate> rates, watch.rates());
  std::string text = shown_rates(rates, arguments.json);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!wanting.empty())
    return fail("deliver alerts", wanting.begin()->first, wanting.begin()->second,
                "they are kept in the state and tried again by the next `gyges monitor watch`");
  return alerts > 0 ? exit_found : 0;
}

}  // namespace

void add_monitor_watch(CLI::App& monitor, int& exit_status) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App* watch = monitor.add_subcommand(
      "watch", "Watch a deployed agent's runs as they are sealed, against stored ones");
  watch->add_option("DIR", arguments->live, "directories into which runs are sealed")->required();
  watch->add_option("--baseline", arguments->baseline, "stored runs that are the measure")
      ->required();
  watch
      ->add_option("--state", arguments->state,
                   "file that the watch goes on from; made where missing")
      ->required();
  watch
      ->add_option("--outcome", arguments->outcomes,
                   "what may not become more frequent: covert_act, a check, a yes/no feature; with "
                   ":fall what may not become rarer, as task_success:fall")
      ->required();
  watch->add_option("--each", arguments->each, "an outcome of which every single run is an alert");
  watch
      ->add_option("--alpha", arguments->alpha,
                   "chance of a false alarm, over all outcomes, looks and time")
      ->check(CLI::Range(1e-9, 0.5))
      ->capture_default_str();
  watch->add_option("--interval", arguments->interval, "seconds between two looks")
      ->check(CLI::Range(0.05, 86400.0))
      ->capture_default_str();
  watch->add_flag("--once", arguments->once, "look once and end");
  watch->add_flag("--until-alert", arguments->until_alert, "end at the first alert");
  watch->add_flag("--json", arguments->json, "alerts and the table at the end as JSON lines");
  watch->add_option("--form", arguments->form, "of alerts in files and webhooks: own, ocsf or ecs")
      ->check(CLI::IsMember({"own", "ocsf", "ecs"}))
      ->capture_default_str();
  watch->add_option("--alert-file", arguments->files,
                    "append alerts to this file, one JSON object a line");
  watch->add_option("--webhook", arguments->webhooks, "POST each alert to this URL");
  watch->add_option("--webhook-header", arguments->webhook_headers,
                    "a header for it, as \"Name: value\"");
  watch->add_option("--syslog", arguments->syslogs,
                    "send alerts to this syslog socket, as /dev/log");
  watch->add_option(
      "--otlp", arguments->otlp,
      "send the run of each alert as OpenTelemetry spans to this collector (OTLP/HTTP)");
  watch->add_option("--otlp-header", arguments->otlp_headers, "a header for it");
  watch->footer(
      "Ends on SIGINT and SIGTERM. Exit status: 0 no alert so far, 1 alerts (earlier lives of the\n"
      "state included), 125 an error, among them alerts that could not be delivered.\n\n"
      "Example:\n  gyges monitor watch /srv/agent/runs --baseline out/accepted --state "
      "watch.sqlite \\\n"
      "    --outcome covert_act --outcome oversight_probing --each covert_act --alert-file "
      "alerts.jsonl");
  watch->callback([arguments, &exit_status] {
    auto done = run_watch(*arguments);
    exit_status = done ? *done : report(done.error());
  });
}

}  // namespace gyges::cli
