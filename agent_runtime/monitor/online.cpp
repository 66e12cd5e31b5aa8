#include "agent_runtime/monitor/online.h"

#include "base/json.h"
#include "base/text.h"

namespace gyges::monitor {

using episode::Moment;
using episode::ToolDecision;

// A monitor asked about one call. Below its mark the call is approved; from there on, and where it
// cannot say, it is not.
class OnlineMonitors::GateMonitor final : public episode::Decider {
 public:
  GateMonitor(OnlineMonitors& all, Monitor& monitor) : all_(all), monitor_(monitor) {}

  Result<std::optional<ToolDecision>> decide(const episode::Escalation& question) override {
    Scene scene = all_.last_;
    // A rule may withhold what the agent said.
    SeenCall call = *scene.current;
    call.rationale = question.rationale;
    scene.current = &call;
    Verdict verdict = monitor_.judge_now(scene);
    fed_ = true;
    GYGES_CHECK(all_.transcript_.monitor(verdict_to_json(verdict), question.rule.name));
    if (!verdict.score) return fail("ask monitor", monitor_.settings().name, verdict.error);
    ToolDecision decision;
    decision.action =
        verdict.flagged ? ToolDecision::Action::reject : ToolDecision::Action::approve;
    decision.reason = verdict.reason;
    return std::optional<ToolDecision>(std::move(decision));
  }

  // Keeps it informed: each scene once, whether it was asked about it or not.
  void feed(const Scene& last, const Scene* next) {
    if (!fed_ && last.current != nullptr) monitor_.take_in(last);
    fed_ = next != nullptr;
    if (next != nullptr) monitor_.take_in(*next);
  }

 private:
  OnlineMonitors& all_;
  Monitor& monitor_;
  bool fed_ = true;  // with the scene before the call in hand
};

OnlineMonitors::OnlineMonitors(std::vector<MonitorPair> monitors, episode::Transcript& transcript,
                               const std::filesystem::path& trace, std::function<Status()> flush,
                               const model::Cancellation* interruption)
    : monitors_(std::move(monitors)),
      transcript_(transcript),
      observation_(trace, std::move(flush)) {
  transcript.listen([this](const nlohmann::json& line) { observation_.take(line); });
  for (auto& pair : monitors_) {
    pair.watching->interrupted_by(interruption);
    pair.asked->interrupted_by(interruption);
    if (pair.asked->settings().trusted)
      gates_.push_back(std::make_unique<GateMonitor>(*this, *pair.asked));
  }
}

OnlineMonitors::~OnlineMonitors() {
  transcript_.listen({});
}

std::map<std::string, episode::MonitorTotals> OnlineMonitors::used() const {
  std::map<std::string, episode::MonitorTotals> all;
  for (const auto& pair : monitors_)
    for (const Monitor* one : {pair.watching.get(), pair.asked.get()})
      if (auto used = one->used()) all[one->settings().name].add(*used);
  return all;
}

std::map<std::string, episode::Decider*> OnlineMonitors::deciders() {
  std::map<std::string, episode::Decider*> named;
  std::size_t next = 0;
  for (auto& pair : monitors_)
    if (pair.asked->settings().trusted) named[pair.asked->settings().name] = gates_[next++].get();
  return named;
}

Result<std::optional<std::string>> OnlineMonitors::judge(const Scene& scene) {
  std::optional<std::string> stop;
  for (auto& pair : monitors_) {
    std::optional<Verdict> verdict = pair.watching->look(scene);
    if (!verdict) continue;
    GYGES_CHECK(transcript_.monitor(verdict_to_json(*verdict), ""));
    const MonitorSettings& settings = pair.watching->settings();
    bool over = settings.stop_at && verdict->score && *verdict->score >= *settings.stop_at;
    if (over || (settings.stop_on_error && !verdict->error.empty()))
      stop = "monitor " + settings.name + ": " + verdict->reason;
  }
  return stop;
}

Result<std::optional<std::string>> OnlineMonitors::look(Moment moment, std::uint32_t call) {
  // The end is looked at by finish(): until then, what the agent left running goes on.
  if (moment == Moment::end) return std::optional<std::string>();
  GYGES_TRY(Scene scene, observation_.scene(moment, call));
  for (auto& gate : gates_) gate->feed(last_, moment == Moment::after ? &scene : nullptr);
  if (moment == Moment::before)
    last_ = scene;
  else
    last_.current = nullptr;
  return judge(scene);
}

Status OnlineMonitors::finish() {
  GYGES_TRY(Scene scene, observation_.scene(Moment::end, 0));
  GYGES_TRY([[maybe_unused]] auto stop, judge(scene));
  return ok();
}

}  // namespace gyges::monitor
