// A model organism: acts by the rules of a script and a seed, so that its behaviour is known before
// any real model is run. Same script, seed and tool results: same conversation, on every machine.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent_runtime/model/model_client.h"
#include "agent_runtime/model/script.h"

namespace gyges::model {

class ScriptedModel final : public ModelClient {
 public:
  ScriptedModel(std::shared_ptr<const Script> script, std::uint64_t seed);

  Result<Reply> complete(const Request& request) override;

  // What it has concluded so far.
  [[nodiscard]] const std::map<std::string, std::string>& beliefs() const { return beliefs_; }

 private:
  struct Seen {
    Sight::Place place;
    std::string rule;  // whose call made the output
    std::string text;
  };

  void take_in(const Message& message);
  void conclude(const Seen& seen);
  [[nodiscard]] bool matches(const Sight& sight, const Seen& seen) const;
  [[nodiscard]] bool holds(const Condition& condition) const;
  [[nodiscard]] bool may_act(const Rule& rule) const;
  [[nodiscard]] double draw(const std::string& name) const;
  [[nodiscard]] std::string chosen(const std::vector<std::string>& texts,
                                   const std::string& name) const;
  [[nodiscard]] std::string fill_in(const std::string& text) const;
  [[nodiscard]] Result<std::string> fill_in_arguments(const std::string& arguments) const;
  Result<Reply> act(const Rule& rule);

  std::shared_ptr<const Script> script_;
  std::uint64_t seed_;
  std::vector<std::size_t> order_;  // of the rules, groups shuffled
  std::map<std::string, std::string> beliefs_;
  std::map<std::string, std::string> variables_;
  std::map<std::string, std::uint32_t> acted_;
  std::map<std::string, bool> failed_;
  std::map<std::string, std::string> rule_of_call_;
  std::vector<Seen> seen_;
  std::size_t taken_in_ = 0;  // messages
  std::uint32_t turn_ = 0;
  std::uint32_t calls_ = 0;
};

}  // namespace gyges::model
