// Writes the seed corpora: fuzz_seeds DIRECTORY, with one directory for each target in it.
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/assets.h"
#include "base/files.h"
#include "base/json.h"
#include "sandbox/recorder/format/block_encoder.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/trace_writer.h"
#include "tests/sandbox/recorder/format/sample_events.h"

namespace {
namespace fs = std::filesystem;
using namespace gyges;
using namespace gyges::recorder;

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "fuzz_seeds: %s\n", result.error().line().c_str());
  std::exit(1);
}

void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "fuzz_seeds: %s\n", status.error().line().c_str());
  std::exit(1);
}

void put(const fs::path& directory, const std::string& name, std::string_view bytes) {
  fs::create_directories(directory);
  must(write_file_atomically(directory / name, bytes));
}

using Fill = void (*)(recorder::testing::EventList&, std::mt19937_64&);
constexpr Fill fills[] = {
    [](recorder::testing::EventList& list, std::mt19937_64& random) {
      recorder::testing::add_lifelike_events(list, 40, random);
    },
    [](recorder::testing::EventList& list, std::mt19937_64& random) {
      for (int i = 0; i < 20; ++i) recorder::testing::add_random_event(list, random);
    },
};

void write_traces(const fs::path& root) {
  int number = 0;
  for (Fill fill : fills) {
    std::mt19937_64 random(static_cast<unsigned>(number));
    recorder::testing::EventList list;
    fill(list, random);
    const auto& events = list.finished();
    fs::path path = root / "trace_reader" / ("seed" + std::to_string(number));
    fs::create_directories(path.parent_path());
    fs::remove(path);
    auto writer = must(TraceWriter::create(path, Backend::ebpf));
    BlockEncoder encoder;
    encoder.begin();
    for (const Event& event : events) {
      must(writer->append(event));
      must(encoder.add(event) ? ok() : fail("write seed", path.string(), "an event is too large"));
    }
    Coverage coverage;
    must(writer->finish(coverage));
    const std::vector<std::uint8_t>& payload = encoder.finish();
    std::string bytes(1, static_cast<char>(events.size()));
    bytes.append(payload.begin(), payload.end());
    put(root / "block_decoder", "seed" + std::to_string(number), bytes);
    put(root / "event_text", "seed" + std::to_string(number), bytes);
    std::string damaged = must(read_file(path));
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
    put(root / "first_bad_byte", "seed" + std::to_string(number), damaged);
    ++number;
  }
}

nlohmann::json sample_run() {
  Coverage coverage;
  coverage.not_observable = {"vDSO time calls"};
  return {{"$schema", "gyges/run.schema.json"},
          {"version", 1},
          {"run_id", "0123456789abcdef"},
          {"kind", "command"},
          {"started_at", utc_timestamp()},
          {"duration_ms", 12},
          {"command", {"/bin/true"}},
          {"scenario", nullptr},
          {"condition", nlohmann::json::object()},
          {"agent", nullptr},
          {"repeat", 0},
          {"seed", 0},
          {"policy", {{"name", "default"}, {"sha256", std::string(64, 'a')}}},
          {"persona", nullptr},
          {"host", host_facts()},
          {"exit", {{"kind", "exited"}, {"code", 0}, {"signal", 0}, {"reason", ""}}},
          {"limits_hit", nlohmann::json::array()},
          {"coverage", coverage_to_json(coverage)},
          {"lost", 0},
          {"observables", nullptr},
          {"warnings", nlohmann::json::array()}};
}

void write_bundle(const fs::path& root) {
  auto directory = must(TemporaryDirectory::create("gyges_seeds"));
  SealPlaces places;
  places.key = directory.path() / "key.pem";
  places.ledger = directory.path() / "ledger.jsonl";
  auto bundle = must(BundleWriter::create(directory.path() / "run", places));
  must(bundle.add_blob("body"));
  must(bundle.finish(sample_run()));
  put(root / "bundle_json", "run", must(read_file(bundle.directory() / "run.json")));
  put(root / "bundle_json", "seal", must(read_file(bundle.directory() / "seal.json")));
  put(root / "bundle_json", "ledger", must(read_file(places.ledger)));
  put(root / "bundle_json", "coverage", coverage_to_json({}).dump());
}

void write_network(const fs::path& root) {
  put(root / "host_name", "name", "xn--bcher-kva.example.");
  put(root / "host_name", "url", "http://[2001:db8::1]:80/a?b#c");
  put(root / "dns_message", "query",
      std::string("\x12\x34\1\0\0\1\0\0\0\0\0\1\1a\7example\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\0",
                  38));
  put(root / "dns_message", "answer",
      std::string(
          "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\1a\7example\0\0\x0f\0\1\xc0\x0c\0\x0f\0\1\0\0\0\1\0\6"
          "\0\x0a\1m\xc0\x0c",
          45));
  put(root / "client_hello", "start",
      std::string("\x16\3\1\0\x2e\1\0\0\x2a\3\3", 11) + std::string(39, '\0'));
  put(root / "http_request", "get", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  put(root / "http_request", "chunked",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
}

void write_policies(const fs::path& root) {
  for (std::string_view name : assets_below("policies/presets/"))
    put(root / "policy", fs::path(name).filename(), *asset(name));
  for (std::string_view name : assets_below("policies/seccomp/"))
    put(root / "seccomp_profile", fs::path(name).filename(), *asset(name));
  put(root / "seccomp_profile", "oci.json",
      R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":)"
      R"("SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"names":["read"],)"
      R"("action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":2,"op":)"
      R"("SCMP_CMP_MASKED_EQ"}],"includes":{"caps":["CAP_SYS_ADMIN"],"minKernel":"4.8"}}]})");
  put(root / "changes", "list",
      R"({"kind":"added","type":"file","path":"/a\n","path_hex":"2fff","mode":420,"size":1,)"
      R"("attributes":{"user.a":"00ff"},"sha256":"00","note":"n"})"
      "\n"
      R"({"kind":"deleted","type":"symlink","path":"/l","link_target":"x","mode":511,"size":0})"
      "\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("fuzz_seeds DIRECTORY\n", stderr);
    return 2;
  }
  write_traces(argv[1]);
  write_bundle(argv[1]);
  write_policies(argv[1]);
  write_network(argv[1]);
  return 0;
}
