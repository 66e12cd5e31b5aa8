#include "sandbox/network/dns/name_service.h"

#include <algorithm>

#include "sandbox/network/dns/wire.h"
#include "sandbox/network/names/host_name.h"

namespace gyges::network {
namespace {

constexpr std::size_t most_pending = 64;  // questions of one TCP connection that wait for an answer
constexpr std::int64_t idle_ns = 30'000'000'000;
constexpr std::size_t most_answers_recorded = 64;

bool asks_address(std::uint16_t type) {
  return type == static_cast<std::uint16_t>(dns::Type::a) ||
         type == static_cast<std::uint16_t>(dns::Type::aaaa);
}

bool asks_for_zone(std::uint16_t type) {
  return type == static_cast<std::uint16_t>(dns::Type::axfr) ||
         type == static_cast<std::uint16_t>(dns::Type::ixfr);
}

Flow flow_of(const dns::Query& query) {
  Flow flow;
  flow.protocol = FlowProtocol::dns;
  flow.verdict = FlowVerdict::simulated;
  flow.name = query.question.name;
  flow.sent_bytes = query.packet_bytes;
  flow.dns.emplace();
  flow.dns->name = query.question.name;
  flow.dns->type = dns::type_name(query.question.type);
  return flow;
}

}  // namespace

NameService::NameService(const Zone& zone, const WorldData& world, const WorldContext& context,
                         const CanarySet& canaries)
    : zone_(zone),
      world_(world),
      context_(context),
      canaries_(canaries),
      canary_names_(canaries),
      random_(world.seed) {}

void NameService::keep(std::string& kept, std::string_view message) const {
  if (message.size() <= context_.policy.body_bytes) kept = message;
}

dns::Answer NameService::simulated(const dns::Question& question) const {
  bool exists = false;
  dns::Answer answer = zone_.answer(question, exists);
  Host host;
  if (exists || !world_.answer_unknown_names ||
      parse_host(question.name, host) != HostFault::none || host.address ||
      question.name.ends_with(".arpa"))
    return answer;
  answer.rcode = dns::Rcode::no_error;
  if (!asks_address(question.type)) return answer;
  bool v6 = question.type == static_cast<std::uint16_t>(dns::Type::aaaa);
  bool possible = false;
  IpAddress address = zone_.drawn_address(host.text, v6, possible);
  if (possible) {
    answer.authority.clear();
    answer.answers.push_back(dns::address_record(host.text, address, 300));
  }
  return answer;
}

void NameService::finish(const dns::Query& query, const dns::Answer& answer, std::size_t limit,
                         Flow flow, const Done& done) {
  Host host;
  bool named = parse_host(query.question.name, host) == HostFault::none;
  for (const dns::Record& record : answer.answers) {
    if (flow.dns->answers.size() < most_answers_recorded)
      flow.dns->answers.push_back(record.text());
    // The name that was asked for is the one meant, also at the end of a chain of aliases.
    if (auto address = record.address(); named && address) context_.names.note(host.text, *address);
  }
  flow.dns->code = dns::rcode_name(answer.rcode);
  std::string response = dns::write_response(query, answer, limit);
  flow.received_bytes = response.size();
  keep(flow.dns->response, response);
  done(std::move(response), std::move(flow));
}

void NameService::ask_host(const dns::Query& query, std::string name, std::size_t limit, Flow flow,
                           Done done) {
  flow.verdict = FlowVerdict::relayed;
  bool v6 = query.question.type == static_cast<std::uint16_t>(dns::Type::aaaa);
  // The packet is gone when the answer comes.
  auto question = std::make_shared<std::string>(query.question_bytes);
  dns::Query kept = query;
  context_.resolver.resolve(
      name, v6,
      [this, kept, question, name, limit, flow = std::move(flow),
       done = std::move(done)](const Resolver::Answer& found) mutable {
        kept.question_bytes = *question;
        dns::Answer answer;
        if (found.code == "NXDOMAIN")
          answer.rcode = dns::Rcode::no_such_name;
        else if (found.code != "NOERROR")
          answer.rcode = dns::Rcode::server_failure;
        for (const IpAddress& address : found.addresses)
          answer.answers.push_back(dns::address_record(name, address, found.ttl_seconds));
        finish(kept, answer, limit, std::move(flow), done);
      });
}

Flow NameService::no_question(std::string_view bytes, std::string reason) const {
  Flow flow;
  flow.protocol = FlowProtocol::dns;
  flow.verdict = FlowVerdict::refused;
  flow.reason = std::move(reason);
  flow.sent_bytes = bytes.size();
  flow.sent.head = bytes.substr(0, std::min<std::size_t>(bytes.size(), context_.policy.body_bytes));
  flow.sent.size = bytes.size();
  find_canaries(canaries_, bytes, "dns message", flow.canaries);
  return flow;
}

void NameService::resolve(std::string_view packet, std::size_t limit, const Reply& reply) {
  dns::Query query;
  dns::QueryFault fault = dns::parse_query(packet, query);
  if (fault == dns::QueryFault::ignore)  // an answer, or less than a header
    return reply.unanswered(no_question(packet, "this is no question"));
  if (fault != dns::QueryFault::none) {
    Flow flow = no_question(packet, "the query is malformed");
    auto response = dns::write_fault(packet, fault);
    if (!response) return;
    flow.received_bytes = flow.received.size = response->size();
    keep(flow.received.head, *response);
    reply.now(*response, std::move(flow));
    return;
  }
  if (limit == 0) limit = dns::udp_limit(query);
  Flow flow = flow_of(query);
  keep(flow.dns->query, packet);
  canary_names_.scan(query.question.name, flow.canaries);
  // Options and further records, behind the question.
  constexpr std::size_t head = 12;
  constexpr std::size_t empty_options = 11;
  std::string_view rest =
      packet.substr(std::min(packet.size(), head + query.question_bytes.size()));
  if (rest.size() > empty_options) find_canaries(canaries_, rest, "dns message", flow.canaries);
  if (query.question.klass != 1) {
    dns::Answer refused;
    refused.rcode = dns::Rcode::refused;
    flow.verdict = FlowVerdict::refused;
    flow.reason = "the class is not IN";
    finish(query, refused, limit, std::move(flow), reply.now);
    return;
  }
  if (asks_for_zone(query.question.type)) {
    dns::Answer refused;
    refused.rcode = dns::Rcode::refused;
    flow.verdict = FlowVerdict::refused;
    flow.reason = "no zone is handed over";
    finish(query, refused, limit, std::move(flow), reply.now);
    return;
  }
  Host host;
  if (parse_host(query.question.name, host) == HostFault::none && !host.address &&
      decide_name(context_.policy, host.text).action == RuleAction::relay) {
    if (asks_address(query.question.type)) {
      ask_host(query, host.text, limit, std::move(flow), reply.defer());
      return;
    }
    // Only addresses are relayed: TXT and the rest carry data out and in without a connection.
    finish(query, {}, limit, std::move(flow), reply.now);
    return;
  }
  finish(query, simulated(query.question), limit, std::move(flow), reply.now);
}

void NameService::received(const Connection&, std::string_view bytes, DatagramPort& port) {
  std::int64_t delay = world_.dns_latency.sample_ns(normal_(random_));
  Reply reply;
  reply.now = [&port, delay](std::string_view response, Flow flow) {
    flow.duration_ns = delay;
    port.record(std::move(flow));
    port.reply(response, delay);
  };
  reply.defer = [&port] { return port.defer(); };
  reply.unanswered = [&port](Flow flow) { port.record(std::move(flow)); };
  resolve(bytes, 0, reply);
}

namespace {

// One TCP connection: questions are answered in the order in which their answers are there.
class DnsStream : public StreamService {
 public:
  DnsStream(NameService& names, StreamPort& port) : names_(names), port_(port) {
    port_.wake_at(port_.now_ns() + idle_ns);
  }
  ~DnsStream() override {
    if (!framer_.empty())
      port_.record(names_.no_question(framer_.begun(), "the message does not end"));
  }

  void received(std::string_view bytes) override {
    port_.wake_at(port_.now_ns() + idle_ns);
    bool good = framer_.feed(bytes, [this](std::string_view message) { question(message); });
    if (good) return;
    framer_ = {};
    port_.record(names_.no_question(bytes, "what was sent is not DNS over TCP"));
    port_.reset();
  }

  void ended() override {
    ended_ = true;
    if (pending_ == 0) port_.close();
  }

  void woken() override { port_.close(); }

 private:
  void question(std::string_view message) {
    if (pending_ >= most_pending)  // a client that asks on is answered with silence
      return record(names_.no_question(message, "too many questions wait for an answer"));
    NameService::Reply reply;
    reply.unanswered = [this](Flow flow) { record(std::move(flow)); };
    reply.now = [this](std::string_view response, Flow flow) { answer(response, std::move(flow)); };
    reply.defer = [this]() -> NameService::Done {
      ++pending_;
      return [this, alive = std::weak_ptr<bool>(alive_), asked = port_.now_ns()](
                 std::string_view response, Flow flow) {
        if (alive.expired()) return;
        --pending_;
        flow.time_ns = asked;
        flow.duration_ns = port_.now_ns() - asked;
        answer(response, std::move(flow));
      };
    };
    names_.resolve(message, dns::longest_message, reply);
  }

  // What is no exchange is kept as it was on the wire, with its length before it.
  void record(Flow flow) {
    for (FlowBody* body : {&flow.sent, &flow.received}) {
      if (flow.dns || body->size == 0) continue;
      std::string length;
      dns::put_u16(length, static_cast<std::uint16_t>(body->size));
      if (!body->head.empty()) body->head.insert(0, length);
      body->size += length.size();
      (body == &flow.sent ? flow.sent_bytes : flow.received_bytes) += length.size();
    }
    port_.record(std::move(flow));
  }

  void answer(std::string_view response, Flow flow) {
    record(std::move(flow));
    port_.send(dns::StreamFramer::frame(response));
    if (ended_ && pending_ == 0) port_.close();
  }

  NameService& names_;
  StreamPort& port_;
  dns::StreamFramer framer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::size_t pending_ = 0;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<StreamService> NameService::open_stream(StreamPort& port) {
  return std::make_unique<DnsStream>(*this, port);
}

}  // namespace gyges::network
