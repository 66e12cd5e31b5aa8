#include "sandbox/run/flow_attribution.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/json.h"
#include "sandbox/network/address.h"
#include "sandbox/network/flows/flow_reader.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::run {
namespace {

using network::Endpoint;
using nlohmann::json;

constexpr std::size_t most_calls = 1'000'000;
constexpr std::int64_t close_by = 50'000'000;  // ns: how late the gateway may see a packet
// ns: the first repetition of a packet that was lost comes 1 s after the call. What opens a flow
// later was sent by another call, such as a write(2) to a connected socket.
constexpr std::int64_t longest_wait = 2'000'000'000;

struct Call {
  std::int64_t time = 0;
  std::int32_t pid = 0;  // inside
  std::uint32_t tool_call = 0;
};

struct Cause {
  std::int32_t pid = 0;
  std::uint32_t tool_call = 0;
  const char* attribution = "none";
};

// The destination that a call names, or the one that its socket is connected to.
std::optional<Endpoint> destination_of(const recorder::Event& event) {
  for (const recorder::Capture& capture : event.captures) {
    if (capture.kind != recorder::CaptureKind::sockaddr_in &&
        capture.kind != recorder::CaptureKind::socket_peer)
      continue;
    sockaddr_storage storage{};
    std::memcpy(&storage, capture.bytes.data(), std::min(capture.bytes.size(), sizeof(storage)));
    if (storage.ss_family != AF_INET && storage.ss_family != AF_INET6) continue;
    Endpoint endpoint = network::endpoint_from(storage);
    endpoint.address = network::unmapped(endpoint.address);
    return endpoint;
  }
  return std::nullopt;
}

// Of the socket that connect(2) was called on.
std::optional<std::uint64_t> socket_of(const recorder::Event& event) {
  for (const recorder::Capture& capture : event.captures) {
    if (capture.kind != recorder::CaptureKind::file_identity || capture.argument != 0 ||
        capture.bytes.size() < sizeof(recorder::FileIdentity))
      continue;
    recorder::FileIdentity file{};
    std::memcpy(&file, capture.bytes.data(), sizeof(file));
    if (S_ISSOCK(file.mode)) return file.inode;
  }
  return std::nullopt;
}

class Calls {
 public:
  Status read(const std::filesystem::path& trace) {
    GYGES_TRY(recorder::TraceReader reader, recorder::TraceReader::open(trace));
    recorder::BlockQuery query;
    for (const char* name : {"connect", "sendto", "sendmsg", "sendmmsg"})
      if (const auto* spec = recorder::find_syscall(recorder::Abi::x86_64, name))
        query.syscalls.push_back(recorder::syscall_key(recorder::Abi::x86_64, spec->number));
    std::size_t count = 0;
    GYGES_CHECK(reader.for_each_in(query, [&](const recorder::Event& event) {
      if (event.kind != recorder::EventKind::syscall) return true;
      auto destination = destination_of(event);
      if (!destination) return true;
      auto socket = socket_of(event);
      Call call;
      call.time = static_cast<std::int64_t>(event.time_ns);
      call.pid = event.inside_pid != 0 ? event.inside_pid : event.pid;
      call.tool_call = event.origin_call != 0 ? event.origin_call : event.active_call;
      calls_[*destination].push_back(call);
      if (socket) by_socket_[*socket].push_back(call);
      if (++count < most_calls) return true;
      known_until_ = call.time;
      return false;
    }));
    auto sort = [](auto& lists) {
      for (auto& [key, list] : lists)
        std::stable_sort(list.begin(), list.end(),
                         [](const Call& one, const Call& other) { return one.time < other.time; });
    };
    sort(calls_);
    sort(by_socket_);
    return ok();
  }

  // false: the calls of that time were not looked at any more.
  [[nodiscard]] bool knows(std::int64_t time) const { return time <= known_until_; }

  // By the kernel's own number of the socket where it is known, else by destination and time.
  [[nodiscard]] Cause cause(const Endpoint& destination, std::uint64_t socket,
                            std::int64_t time) const {
    if (auto found = by_socket_.find(socket); socket != 0 && found != by_socket_.end()) {
      Cause cause = last_before(found->second, time, std::numeric_limits<std::int64_t>::max());
      if (std::strcmp(cause.attribution, "likely") == 0) cause.attribution = "exact";
      if (std::strcmp(cause.attribution, "none") != 0) return cause;
    }
    auto found = calls_.find(destination);
    return found == calls_.end() ? Cause{} : last_before(found->second, time, longest_wait);
  }

 private:
  static Cause last_before(const std::vector<Call>& list, std::int64_t time, std::int64_t age) {
    auto after = std::upper_bound(list.begin(), list.end(), time,
                                  [](std::int64_t at, const Call& call) { return at < call.time; });
    if (after == list.begin()) return {};
    const Call& last = *std::prev(after);
    Cause cause{last.pid, last.tool_call, time - last.time <= age ? "likely" : "ambiguous"};
    for (auto at = std::prev(after); at->time >= time - close_by; --at) {
      if (at->pid != last.pid) cause.attribution = "ambiguous";
      if (at == list.begin()) break;
    }
    return cause;
  }

  std::map<Endpoint, std::vector<Call>> calls_;
  std::map<std::uint64_t, std::vector<Call>> by_socket_;
  std::int64_t known_until_ = std::numeric_limits<std::int64_t>::max();
};

std::optional<Endpoint> destination_of(const json& flow) {
  auto address = network::parse_address(flow.at("destination").get<std::string>());
  if (!address) return std::nullopt;
  return Endpoint{*address, flow.at("port").get<std::uint16_t>()};
}

// Writes the flows of `bundle` with their causes into `file`.
Status rewrite(const std::filesystem::path& bundle, const Calls& calls,
               const std::map<std::uint64_t, std::int64_t>& opened, int file) {
  std::string buffer;
  Status written = ok();
  GYGES_CHECK(network::read_flows(bundle, [&](const json& line) {
    json flow = line;
    std::int64_t time = opened.at(flow.at("connection").get<std::uint64_t>());
    auto destination = destination_of(flow);
    if (destination && calls.knows(time)) {
      Cause cause = calls.cause(*destination, flow.value("socket", std::uint64_t{0}), time);
      flow["pid"] = cause.pid;
      flow["tool_call"] = cause.tool_call;
      flow["attribution"] = cause.attribution;
    }
    buffer += flow.dump() + "\n";
    if (buffer.size() < 1U << 20U) return true;
    written = write_all(file, buffer);
    buffer.clear();
    return written.has_value();
  }));
  GYGES_CHECK(std::move(written));
  return write_all(file, buffer);
}

}  // namespace

Status attribute_flows(const std::filesystem::path& bundle) {
  Calls calls;
  GYGES_CHECK(calls.read(bundle / "trace.gyt"));
  // What happens inside a connection comes later than the call that opened it.
  std::map<std::uint64_t, std::int64_t> opened;
  GYGES_CHECK(network::read_flows(bundle, [&](const json& flow) {
    auto time = flow.at("time_ns").get<std::int64_t>();
    auto [known, added] = opened.try_emplace(flow.at("connection").get<std::uint64_t>(), time);
    if (!added) known->second = std::min(known->second, time);
    return true;
  }));
  // Without a name until it is whole: nothing is left behind where this fails.
  UniqueFd file(::open(bundle.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644));
  std::filesystem::path fresh = bundle / "flows.jsonl.new";
  bool named = !file;  // a file system without O_TMPFILE
  if (named) file.reset(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return fail_errno("make file", fresh.string());
  auto done = rewrite(bundle, calls, opened, file.get());
  if (done && !named) {
    std::string path = "/proc/self/fd/" + std::to_string(file.get());
    if (::linkat(AT_FDCWD, path.c_str(), AT_FDCWD, fresh.c_str(), AT_SYMLINK_FOLLOW) == 0)
      named = true;
    else
      done = fail_errno("make file", fresh.string());
  }
  std::error_code error;
  if (done) std::filesystem::rename(fresh, bundle / "flows.jsonl", error);
  if (error) done = fail_errno("replace", (bundle / "flows.jsonl").string(), error.value());
  if (!done && named) std::filesystem::remove(fresh, error);
  return done;
}

}  // namespace gyges::run
