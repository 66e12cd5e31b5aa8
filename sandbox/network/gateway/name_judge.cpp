#include "sandbox/network/gateway/name_judge.h"

#include <algorithm>
#include <cctype>

#include "sandbox/network/http/head_rules.h"
#include "sandbox/network/tls/client_hello.h"

namespace gyges::network {
namespace {

NameJudgement refused(NameJudgement judgement, std::string reason) {
  judgement.state = NameJudgement::State::refuse;
  judgement.reason = std::move(reason);
  return judgement;
}

NameJudgement compare(NameJudgement judgement, const NetworkRule& rule,
                      const std::vector<std::string>& names, const std::string& said,
                      const char* what) {
  bool allowed = std::any_of(rule.domains.begin(), rule.domains.end(),
                             [&](const auto& domain) { return domain_matches(domain, said); });
  if (!allowed) return refused(std::move(judgement), std::string(what) + " is none of the rule's");
  if (std::find(names.begin(), names.end(), said) == names.end())
    return refused(std::move(judgement),
                   std::string(what) + " is no name that was looked up for this address");
  judgement.state = NameJudgement::State::pass;
  return judgement;
}

bool may_be_http(std::string_view first) {
  std::string_view method = first.substr(0, std::min<std::size_t>(first.find(' '), 16));
  return !method.empty() && std::all_of(method.begin(), method.end(),
                                        [](unsigned char c) { return std::isupper(c) != 0; });
}

}  // namespace

NameJudgement judge_name(const NetworkRule& rule, const std::vector<std::string>& names,
                         std::string_view first) {
  NameJudgement judgement;
  if (first.empty()) return judgement;
  ClientHello hello;
  HelloState state = read_client_hello(first, hello);
  if (state == HelloState::whole) {
    judgement.sni = hello.sni;
    judgement.tls = hello.version;
    if (!hello.alpn.empty()) judgement.alpn = hello.alpn.front();
    if (hello.ech) return refused(std::move(judgement), "an encrypted ClientHello hides the name");
    if (hello.bad_sni || hello.sni.empty())
      return refused(std::move(judgement), "TLS names no server");
    return compare(std::move(judgement), rule, names, hello.sni, "the name in TLS");
  }
  if (state == HelloState::need_more && first.size() < most_hello_bytes) return judgement;
  if (!may_be_http(first))
    return refused(std::move(judgement), "neither TLS nor HTTP: name the network in the rule");
  auto end = first.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (first.size() < most_judged_bytes) return judgement;
    return refused(std::move(judgement), "the head of the request does not end");
  }
  RequestHead head;
  if (auto fault = check_head(first.substr(0, end + 4), head))
    return refused(std::move(judgement), "the request is not read alike by all: " + fault->reason);
  if (head.method == "CONNECT")
    return refused(std::move(judgement), "CONNECT would hide what comes next");
  if (head.authority.host.address)
    return refused(std::move(judgement), "Host is an address and no name");
  return compare(std::move(judgement), rule, names, head.authority.host.text, "Host");
}

}  // namespace gyges::network
