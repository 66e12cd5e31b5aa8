// Comparison at size: a store of many bundles, cloned from real ones; how fast it is compared cold
// and with kept findings; how fast features are read from a trace; permutation tests over whole
// runs.
//
//   store_bench make TEMPLATES OUT RUNS   clones bundles of TEMPLATES under new ids and repeats,
//   sealed store_bench compare OUT FILE          twice, findings kept in FILE store_bench extract
//   BUNDLE [ROUNDS]   events a second of one thread store_bench permute                   200
//   replicates over 1000 runs x 300 features, each test
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "analysis/comparison/comparison.h"
#include "analysis/report/report_json.h"
#include "analysis/statistics/random_stream.h"
#include "analysis/statistics/trace_tests.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace {

using namespace gyges;
using namespace gyges::analysis;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "store_bench: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error().line());
  return std::move(*result);
}

void must_status(const Status& status) {
  if (!status) give_up(status.error().line());
}

struct Template {
  fs::path bundle;
  nlohmann::json run;
};

void make(const fs::path& templates, const fs::path& out, std::uint64_t runs) {
  // By condition, so that clones come in pairs.
  std::map<std::string, std::vector<Template>> conditions;
  for (const FoundBundle& found : must(find_bundles(templates))) {
    nlohmann::json run = must(load_json(found.bundle / "run.json", "run"));
    conditions[run.at("condition").dump() + run.at("agent").dump()].push_back({found.bundle, run});
  }
  std::uint64_t made = 0;
  for (std::uint64_t repeat = 0; made < runs; ++repeat)
    for (const auto& [condition, list] : conditions) {
      if (made == runs) break;
      const Template& from = list[repeat % list.size()];
      const fs::path bundle = out / "runs" / std::to_string(made);
      fs::create_directories(bundle);
      // Neither key nor ledger: a seal is then checksums, which are what costs.
      recorder::BundleWriter writer = must(recorder::BundleWriter::create(bundle, {}));
      fs::copy(from.bundle, bundle,
               fs::copy_options::recursive | fs::copy_options::overwrite_existing);
      fs::remove(bundle / "seal.json");
      nlohmann::json run = from.run;
      run["repeat"] = repeat;
      run["seed"] = 1'000'000 + repeat;
      run["run_id"] = to_hex(sha256(std::to_string(made))).substr(0, 16);
      must_status(writer.finish(run));
      ++made;
    }
  std::printf("%llu bundles\n", static_cast<unsigned long long>(made));
}

void compare_store(const fs::path& store, const fs::path& file) {
  std::string first;
  for (const char* how : {"cold", "kept"}) {
    Clock::time_point start = Clock::now();
    double processor = processor_seconds();
    auto kept = must(FindingsStore::open(file));
    CompareOptions options;
    options.store = kept.get();
    Comparison comparison = must(compare({store}, options));
    double compared = seconds_since(start);
    std::string report = json_text(report_json(comparison), -1);
    FindingsStore::Counts counts = kept->counts();
    std::printf(
        "%-5s %6zu runs, %zu excluded: compared in %6.2f s (processor %6.2f s), report %6.2f s; "
        "kept %llu, found %llu, hashed %llu\n",
        how, comparison.runs.size(), comparison.excluded.size(), compared,
        processor_seconds() - processor, seconds_since(start),
        static_cast<unsigned long long>(counts.kept), static_cast<unsigned long long>(counts.found),
        static_cast<unsigned long long>(counts.verified));
    if (first.empty())
      first = report;
    else if (first != report)
      give_up("the report from kept findings differs");
  }
}

// Millions of events a second of processor time, in the median and the best round: others on the
// machine take time from this thread, but are not counted.
void print_speed(const char* what, double events, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  std::printf("%s at %.2f M/s (best %.2f)", what, events / 1e6 / seconds[seconds.size() / 2],
              events / 1e6 / seconds.front());
}

void extract(const fs::path& bundle, int rounds) {
  Run run = must(load_run(bundle, "bench"));
  recorder::TraceReader reader = must(recorder::TraceReader::open(bundle / "trace.gyt"));
  std::uint64_t events = 0;
  std::vector<double> reading;
  std::vector<double> finding;
  for (int i = 0; i < rounds; ++i) {
    events = 0;
    double start = processor_seconds();
    must_status(reader.for_each([&](const recorder::Event&) {
      ++events;
      return true;
    }));
    double read = processor_seconds();
    static_cast<void>(must(find(run)));
    reading.push_back(read - start);
    finding.push_back(processor_seconds() - read);
  }
  std::printf("%llu events: ", static_cast<unsigned long long>(events));
  print_speed("decoded", static_cast<double>(events), std::move(reading));
  std::printf(", ");
  print_speed("features", static_cast<double>(events), std::move(finding));
  std::printf("\n");
}

void permute() {
  FeatureMatrix matrix;
  matrix.features = 300;
  BlockedLabels labels;
  RandomStream random(1);
  for (std::size_t run = 0; run < 1000; ++run) {
    labels.second.push_back(run % 2 == 1);
    labels.block.push_back(run / 2);
    for (std::size_t f = 0; f < matrix.features; ++f)
      matrix.values.push_back(random.normal() + (run % 2 == 1 && f < 5 ? 0.2 : 0));
  }
  matrix = standardised(std::move(matrix));
  auto timed = [&](const char* name, auto test) {
    Clock::time_point start = Clock::now();
    auto result = test(matrix, labels);
    std::printf("%-10s p %.4f in %.2f s\n", name, result ? result->p_value : 1,
                seconds_since(start));
  };
  timed("energy", [](const auto& m, const auto& l) { return energy_test(m, l, 200); });
  timed("mmd", [](const auto& m, const auto& l) { return mmd_test(m, l, 200); });
  timed("classifier", [](const auto& m, const auto& l) { return classifier_test(m, l, 200); });
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 4 && words[0] == "make") {
    make(words[1], words[2], std::stoull(words[3]));
  } else if (words.size() == 3 && words[0] == "compare") {
    compare_store(words[1], words[2]);
  } else if ((words.size() == 2 || words.size() == 3) && words[0] == "extract") {
    extract(words[1], words.size() == 3 ? std::stoi(words[2]) : 10);
  } else if (words.size() == 1 && words[0] == "permute") {
    permute();
  } else {
    give_up("make TEMPLATES OUT RUNS | compare OUT FILE | extract BUNDLE [ROUNDS] | permute");
  }
  return 0;
}
