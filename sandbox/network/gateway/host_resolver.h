// Real names, for rules that relay to domains: asks the host's name servers over UDP. Each question
// goes out from a socket of its own, whose port the kernel chooses, with a random number; an answer
// counts only from the server that was asked and for the very question.
//
// Bounded: most_pending questions at one time, 2 rounds over the servers, 2 s for each.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "sandbox/network/world.h"

namespace gyges::network {

class Gateway;

class HostResolver final : public Resolver {
 public:
  static constexpr std::size_t most_pending = 256;

  HostResolver(Gateway& gateway, std::vector<IpAddress> servers)
      : gateway_(gateway), servers_(std::move(servers)) {}

  void resolve(std::string_view name, bool v6, std::function<void(const Answer&)> done) override;
  // False: the key is none of its sockets'.
  bool readable(std::uint64_t key);

 private:
  struct Question {
    std::string name;
    bool v6 = false;
    std::uint16_t id = 0;
    unsigned attempt = 0;  // counts servers that were asked
    UniqueFd socket;
    std::function<void(const Answer&)> done;
  };
  void ask(std::uint64_t key);
  void finish(std::uint64_t key, const Answer& answer);

  Gateway& gateway_;
  std::vector<IpAddress> servers_;
  std::map<std::uint64_t, Question> questions_;
};

}  // namespace gyges::network
