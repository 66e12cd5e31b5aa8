#include "measures.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>

namespace gyges::bench {
namespace {

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Of arms that do nothing.
constexpr const char* kernels_own = "the kernel's own";

struct Loop {
  std::string measure;
  std::string work;
  std::string unit;
  double per_second;  // units in a second
  long count;
  long slow_count;
  double divide_by;
  // Target of the ratio by arm.
  std::map<std::string, double> targets;
};

// Every arm once, then every arm again, so that a change of the machine's speed meets all alike.
std::vector<Row> measure_ratios(const Arms& arms, const Settings& settings,
                                const std::vector<Loop>& loops) {
  std::vector<Row> rows;
  for (const Loop& loop : loops) {
    std::map<std::string, std::vector<double>> times;
    std::map<std::string, std::uint64_t> lost;
    for (int round = 0; round < settings.rounds; ++round)
      for (const Arm& arm : arms.all()) {
        if (arm.slow && round % 3 != 0) continue;
        const long count = std::max(1L, arm.slow ? loop.slow_count : loop.count);
        const Measured measured = arms.run(arm, loop.work, count);
        times[arm.name].push_back(measured.work.seconds / static_cast<double>(count) /
                                  loop.divide_by * loop.per_second);
        if (measured.lost) lost[arm.name] += *measured.lost;
      }
    const auto best = [&](const std::string& arm) {
      return *std::min_element(times[arm].begin(), times[arm].end());
    };
    for (const Arm& arm : arms.all()) {
      Row row{.measure = loop.measure, .arm = arm.name, .unit = loop.unit};
      row.best = best(arm.name);
      row.median = median_of(times[arm.name]);
      if (arm.kind != ArmKind::untraced) {
        row.ratio = row.best / best("untraced");
        row.median_ratio = *row.median / median_of(times["untraced"]);
      }
      if (arm.kind == ArmKind::floor) row.note = kernels_own;
      if (lost.count(arm.name) != 0) row.lost = lost[arm.name];
      if (const auto target = loop.targets.find(arm.name); target != loop.targets.end()) {
        row.target = fmt::format("<= {}x", target->second);
        row.met = *row.ratio <= target->second;
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace

std::vector<Row> measure_loops(const Arms& arms, const Settings& settings) {
  const auto scaled = [&](long count) {
    return static_cast<long>(static_cast<double>(count) * settings.scale);
  };
  return measure_ratios(arms, settings,
                        {{"null call",
                          "getppid",
                          "ns/call",
                          1e9,
                          scaled(1'000'000),
                          scaled(20'000),
                          1,
                          {{"ebpf", 2.0}, {"ptrace", 55}, {"ptrace, user", 55}}},
                         {"open, read, close",
                          "files",
                          "ns/call",
                          1e9,
                          scaled(200'000),
                          scaled(6'000),
                          3,
                          {{"ebpf", 1.7}}}});
}

std::vector<Row> measure_programs(const Arms& arms, const Settings& settings) {
  return measure_ratios(arms, settings,
                        {{"git status", "git", "ms", 1e3, 20, 4, 1, {{"ebpf", 1.25}}},
                         {"find", "find", "ms", 1e3, 2, 1, 1, {{"ebpf", 1.3}}},
                         {"gcc -c", "gcc", "ms", 1e3, 3, 2, 1, {{"ebpf", 1.03}}},
                         {"tar", "tar", "ms", 1e3, 10, 2, 1, {}},
                         {"python", "python", "ms", 1e3, 6, 2, 1, {}}});
}

std::vector<Row> measure_flood(const Arms& arms, const Settings& settings) {
  std::vector<Row> rows;
  std::map<std::string, double> best;
  std::map<std::string, std::uint64_t> lost;
  std::map<std::string, std::uint64_t> made;
  const int rounds = std::max(1, settings.rounds / 3);
  for (int round = 0; round < rounds; ++round)
    for (const Arm& arm : arms.all()) {
      if (arm.slow && round > 0) continue;
      const Measured measured = arms.run(arm, "flood", 2, true);
      best[arm.name] = std::max(best[arm.name], static_cast<double>(measured.work.calls) * 2 /
                                                    measured.work.seconds / 1e6);
      made[arm.name] += measured.work.calls;
      if (measured.lost) lost[arm.name] += *measured.lost;
    }
  for (const Arm& arm : arms.all()) {
    Row row{.measure = "flood", .arm = arm.name, .unit = "M records/s made"};
    row.best = best[arm.name];
    if (arm.kind == ArmKind::floor) row.note = kernels_own;
    if (lost.count(arm.name) != 0) {
      row.lost = lost[arm.name];
      row.note =
          fmt::format("{:.1f} % of {:.1f} M calls lost",
                      100.0 * static_cast<double>(*row.lost) / static_cast<double>(made[arm.name]),
                      static_cast<double>(made[arm.name]) / 1e6);
    }
    if (arm.name == "ebpf") {
      row.target = ">= 15, 0 lost";
      row.met = row.best >= 15 && row.lost == 0U;
    } else if (arm.kind == ArmKind::gyges) {
      row.target = "0 lost";
      row.met = row.lost == 0U;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> measure_stall(const Arms& arms, const Settings&) {
  std::vector<Row> rows;
  for (const Arm& arm : arms.all()) {
    if (arm.kind == ArmKind::untraced || arm.kind == ArmKind::floor || arm.kind == ArmKind::sysdig)
      continue;
    const Measured measured = arms.run(arm, "flood", 5, true, 64, [](int recorder) {
      ::poll(nullptr, 0, 1500);
      ::kill(recorder, SIGSTOP);
      ::poll(nullptr, 0, 3000);
      ::kill(recorder, SIGCONT);
    });
    Row row{.measure = "stall of 3 s in a flood", .arm = arm.name, .unit = "M calls made"};
    row.best = static_cast<double>(measured.work.calls) / 1e6;
    row.lost = measured.lost;
    row.note = fmt::format("{} EINTR, {} signals or stops", measured.work.interrupted,
                           measured.work.noticed);
    if (arm.name == "ebpf") {
      row.target = "0 lost, 0 EINTR, 0 signals";
      row.met = row.lost == 0U && measured.work.interrupted == 0 && measured.work.noticed == 0;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> measure_neighbour(const Arms& arms, const Settings& settings) {
  const auto count = static_cast<long>(1e6 * settings.scale);
  std::map<std::string, std::vector<double>> times;
  const Arm& untraced = arms.all().front();
  const std::filesystem::path ready = arms.directory() / "ready";
  const std::filesystem::path stop = arms.directory() / "stop";
  const auto null_call = [&] {
    const Measured measured = arms.run(untraced, "getppid", count);
    return measured.work.seconds / static_cast<double>(count) * 1e9;
  };
  // A tracer of others costs a neighbour nothing.
  const auto is_looked_at = [](const Arm& arm) { return arm.kind != ArmKind::floor || !arm.slow; };
  for (int round = 0; round < settings.rounds; ++round)
    for (const Arm& arm : arms.all()) {
      if (!is_looked_at(arm)) continue;
      if (arm.kind == ArmKind::untraced) {
        times[arm.name].push_back(null_call());
        continue;
      }
      std::filesystem::remove(ready);
      std::filesystem::remove(stop);
      arms.run(arm, "idle", 1, false, 64, [&](int) {
        for (int i = 0; i < 500 && !std::filesystem::exists(ready); ++i) ::poll(nullptr, 0, 20);
        times[arm.name].push_back(null_call());
        std::ofstream(stop) << "1";
      });
    }
  std::vector<Row> rows;
  const auto best = [&](const std::string& name) {
    return *std::min_element(times[name].begin(), times[name].end());
  };
  for (const Arm& arm : arms.all()) {
    if (!is_looked_at(arm)) continue;
    Row row{.measure = "neighbour's null call", .arm = arm.name, .unit = "ns/call"};
    row.best = best(arm.name);
    row.median = median_of(times[arm.name]);
    if (arm.kind != ArmKind::untraced) {
      const double extra = row.best - best("untraced");
      row.ratio = row.best / best("untraced");
      row.note = fmt::format("{:+.0f} ns", extra);
      if (arm.kind == ArmKind::floor) row.note += std::string(": ") + kernels_own;
      if (arm.name == "ebpf") {
        row.target = "<= +40 ns";
        row.met = extra <= 40;
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> measure_memory(const Arms& arms, const Settings&) {
  std::vector<Row> rows;
  for (const Arm& arm : arms.all()) {
    if (arm.kind != ArmKind::gyges) continue;
    const Measured measured = arms.run(arm, "flood", 2);
    const RecordReport& record = *measured.record;
    const auto mebibytes = [](std::uint64_t bytes) {
      return static_cast<double>(bytes) / 1024.0 / 1024.0;
    };
    Row row{.measure = "memory of the recorder", .arm = arm.name, .unit = "MiB"};
    // Pages of the rings that are mapped count as resident too; added once more they make this an
    // upper bound.
    row.best = mebibytes(record.proportional_bytes + record.kernel_bytes);
    row.note = fmt::format("PSS {:.1f} (anonymous {:.1f}) + BPF maps {:.1f}; peak RSS {:.1f}",
                           mebibytes(record.proportional_bytes), mebibytes(record.anonymous_bytes),
                           mebibytes(record.kernel_bytes), mebibytes(record.peak_resident_bytes));
    row.target = "<= 128";
    row.met = row.best <= 128;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace gyges::bench
