#include "sandbox/network/services/plain_services.h"

#include <algorithm>
#include <chrono>

#include "sandbox/network/http/body_record.h"

namespace gyges::network {
namespace {

constexpr std::int64_t idle_ns = 120'000'000'000;

class Banner : public StreamService {
 public:
  Banner(const PortService& service, const CanarySet& canaries, std::uint64_t body_bytes,
         StreamPort& port)
      : port_(port), body_(body_bytes, &canaries, "tcp stream") {
    if (!service.banner.empty()) port_.send(service.banner);
    started_ = port_.now_ns();
    port_.wake_at(started_ + idle_ns);
  }
  ~Banner() override { record(false); }

  void received(std::string_view bytes) override {
    port_.wake_at(port_.now_ns() + idle_ns);
    body_.feed(bytes, hits_);
  }
  void ended() override {
    record(true);
    port_.close();
  }
  void woken() override {
    record(true);
    port_.close();
  }

 private:
  void record(bool whole) {
    if (recorded_) return;
    recorded_ = true;
    Flow flow;
    flow.protocol = FlowProtocol::other;
    flow.verdict = FlowVerdict::simulated;
    flow.time_ns = started_;
    flow.duration_ns = port_.now_ns() - started_;
    flow.sent_bytes = body_.size();
    flow.sent = body_.finish(whole);
    flow.canaries = std::move(hits_);
    port_.record(std::move(flow));
  }
  StreamPort& port_;
  BodyRecord body_;
  std::vector<CanaryHit> hits_;
  std::int64_t started_ = 0;
  bool recorded_ = false;
};

void put(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i > 0; --i) out += static_cast<char>(value >> (8 * (i - 1)) & 0xffU);
}

// Seconds since 1900 and their fraction.
std::uint64_t ntp_time(std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  auto ns = static_cast<std::uint64_t>(duration_cast<nanoseconds>(time.time_since_epoch()).count());
  std::uint64_t seconds = ns / 1'000'000'000U + 2'208'988'800U;
  return seconds << 32U | (((ns % 1'000'000'000U) << 32U) / 1'000'000'000U);
}

}  // namespace

std::unique_ptr<StreamService> make_banner(const PortService& service, const CanarySet& canaries,
                                           std::uint64_t body_bytes, StreamPort& port) {
  return std::make_unique<Banner>(service, canaries, body_bytes, port);
}

void NtpService::received(const Connection&, std::string_view bytes, DatagramPort& port) {
  Flow flow;
  flow.protocol = FlowProtocol::ntp;
  flow.verdict = FlowVerdict::simulated;
  flow.sent_bytes = bytes.size();
  find_canaries(canaries_, bytes, "ntp message", flow.canaries);
  unsigned first = bytes.empty() ? 0 : static_cast<std::uint8_t>(bytes[0]);
  unsigned version = first >> 3U & 7U;
  // Mode 3 is a client's question; all others, such as the monitor list, stay unanswered.
  if (bytes.size() < 48 || (first & 7U) != 3 || version < 3 || version > 4) {
    flow.verdict = FlowVerdict::refused;
    flow.reason = "this is no question for the time";
    flow.sent.head = bytes.substr(0, 512);
    flow.sent.size = bytes.size();
    port.record(std::move(flow));
    return;
  }
  auto now = std::chrono::system_clock::now();
  std::string out;
  put(out, version << 3U | 4U, 1);
  put(out, 2, 1);                                    // stratum
  put(out, static_cast<std::uint8_t>(bytes[2]), 1);  // poll interval
  put(out, 0xe9, 1);                                 // precision: 2^-23 s
  put(out, 0x0000'0a3d, 4);                          // root delay
  put(out, 0x0000'0c20, 4);                          // root dispersion
  put(out, 0xc6336401, 4);                           // reference: 198.51.100.1
  put(out, ntp_time(now - std::chrono::seconds(417)), 8);
  out += bytes.substr(40, 8);  // the asker's transmit time
  put(out, ntp_time(now), 8);
  put(out, ntp_time(std::chrono::system_clock::now()), 8);
  flow.received_bytes = out.size();
  port.record(std::move(flow));
  port.reply(out);
}

}  // namespace gyges::network
