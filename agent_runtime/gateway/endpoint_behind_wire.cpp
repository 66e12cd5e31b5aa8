#include "agent_runtime/gateway/endpoint_behind_wire.h"

#include <map>
#include <memory>
#include <mutex>

#include "agent_runtime/model/cancellation.h"
#include "agent_runtime/model/translator.h"

namespace gyges::gateway {

namespace {

// What translation remembers of a session, one for each dialect that its agent speaks. Requests are
// answered side by side, each with a translator of its own.
class Translations {
 public:
  explicit Translations(const model::Dialect& behind) : behind_(behind) {}

  model::Translator for_request(const model::Dialect& front) {
    std::scoped_lock lock(mutex_);
    return known(front);
  }
  void remember(const model::Dialect& front, const model::Reply& reply) {
    std::scoped_lock lock(mutex_);
    (void)known(front).reply(reply);
  }

 private:
  model::Translator& known(const model::Dialect& front) {
    return by_front_.try_emplace(&front, front, behind_).first->second;
  }
  const model::Dialect& behind_;
  std::mutex mutex_;
  std::map<const model::Dialect*, model::Translator> by_front_;
};

}  // namespace

Complete endpoint_behind_wire(model::EndpointConfig config,
                              std::chrono::steady_clock::time_point deadline,
                              EndpointOptions& options) {
  options.behind = config.dialect;
  options.behind_model = config.settings.model;
  auto shared = std::make_shared<const model::EndpointConfig>(std::move(config));
  auto translations = std::make_shared<Translations>(*shared->dialect);
  return [shared, translations, deadline](Ask& ask) -> Result<model::Reply> {
    model::Endpoint endpoint(*shared);  // it serves one request at a time
    const model::Dialect& front = ask.front != nullptr ? *ask.front : *shared->dialect;
    model::Translator translator = translations->for_request(front);
    GYGES_TRY(model::ModelRequest request, translator.request(ask.request));
    request.model = shared->settings.model;
    if (ask.raw != nullptr) GYGES_CHECK(endpoint.address(request, *ask.raw));
    model::Cancellation own;
    model::Cancellation& cancellation = ask.cancellation != nullptr ? *ask.cancellation : own;
    model::Endpoint::Call call{deadline, &cancellation, {}, ask.raw};
    if (ask.observer)
      call.observer = [&](const model::Delta& delta) {
        for (const model::Delta& ready : translator.delta(delta))
          if (!ask.observer(ready)) return cancellation.cancel();
      };
    model::ModelError error;
    error.status = 0;
    auto reply = endpoint.send(request, call, error);
    ask.losses = endpoint.losses();
    ask.spent = endpoint.spent();
    if (!reply && error.status != 0) ask.error = std::move(error);
    if (!reply || &front == shared->dialect) return reply;
    translations->remember(front, *reply);
    return translator.reply(std::move(*reply));
  };
}

}  // namespace gyges::gateway
