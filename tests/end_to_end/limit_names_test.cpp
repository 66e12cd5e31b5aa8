// A limit that any process of the sandbox ran into stands in the record by its name, whoever it was
// and whether or not anything of it is left at the end.
#include <gmock/gmock.h>
#include <unistd.h>

#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using nlohmann::json;

constexpr const char* python = "/usr/bin/python3";

struct Row {
  const char* limit;
  std::uint64_t value;
  const char* program;  // of a child of the command; goes on when it is refused
};

// Each undoes what it did, so that only the record can tell.
const Row rows[] = {
    {"open_files", 64,
     "try:\n  for i in range(200): os.dup(0)\nexcept OSError: pass\nos.closerange(3,300)"},
    {"memory_bytes", 200U << 20U, "try: bytearray(400<<20)\nexcept MemoryError: pass"},
    {"file_bytes", 1U << 20U,
     "f=os.open('/tmp/f',66)\ntry:\n  for i in range(3): os.write(f,bytes(1<<20))\n"
     "except OSError: pass\nos.unlink('/tmp/f')"},
    // The default action of the signal, which python does not have.
    {"file_bytes", 1U << 20U,
     "os.system('head -c 3000000 /dev/zero >/tmp/f 2>/dev/null; rm /tmp/f')"},
    // The kernel counts by its clock's ticks, which may see much less than was used.
    {"cpu_seconds", 1, "import time\nwhile time.process_time()<30: sum(range(100000))"},
    {"disk_bytes", 4U << 20U,
     "f=os.open('/tmp/f',66)\ntry:\n  for i in range(8): os.write(f,bytes(1<<20))\n"
     "except OSError: pass\nos.unlink('/tmp/f')"},
    {"inodes", 300,
     "n=0\ntry:\n  while n<400: os.close(os.open('/tmp/%d'%n,66)); n+=1\n"
     "except OSError: pass\nfor i in range(n): os.unlink('/tmp/%d'%i)"},
    {"processes", 20,
     "a=[]\ntry:\n  for i in range(40):\n    p=os.fork()\n    if p==0: signal.pause()\n"
     "    a.append(p)\nexcept OSError: pass\n"
     "for p in a: os.kill(p,9)\nfor p in a: os.waitpid(p,0)"},
};

class LimitNames : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    if (::access(python, X_OK) != 0) GTEST_SKIP() << "no python3";
  }

  // The names in limits_hit of a run of the program under that recorder.
  std::vector<std::string> names(const std::string& recorder, const json& limits,
                                 const std::string& program, RunAs as) {
    const std::string number = std::to_string(runs_++);
    const std::string bundle = path("bundle" + number).string();
    write_policy(path("policy" + number + ".json"), limits);
    // The shell stays, so that the program is a child.
    Finished run = gyges(
        {"run", "--recorder", recorder, "--policy", path("policy" + number + ".json").string(),
         "--workspace", directory_->path().string(), "--out", bundle, "--", "sh", "-c",
         "\"$0\" -c \"$1\"; true", python, "import os,signal\n" + program},
        as);
    EXPECT_EQ(run.status, 0) << run.error;
    std::vector<std::string> found;
    if (run.status != 0) return found;
    const json document = read_json(bundle + "/run.json");
    for (const json& hit : document["limits_hit"]) found.push_back(hit["limit"].get<std::string>());
    return found;
  }

  // Each row's limit alone is named, and where the limits are far away nothing is.
  void check(const std::string& recorder, RunAs as) {
    std::string all;
    for (const Row& row : rows) {
      EXPECT_EQ(names(recorder, {{row.limit, row.value}}, row.program, as),
                std::vector<std::string>{row.limit})
          << recorder << ": " << row.program;
      if (row.limit != std::string("cpu_seconds")) all += std::string(row.program) + "\n";
    }
    all += "os.system('echo > /dev/full 2>/dev/null')\n";
    EXPECT_THAT(names(recorder, json::object(), all, as), ::testing::IsEmpty()) << recorder;
  }

 private:
  int runs_ = 0;
};

TEST_F(LimitNames, OfAChildWithThePtraceRecorder) {
  check("ptrace", {});
}

TEST_F(LimitNames, OfAChildWithTheBpfRecorder) {
  if (gyges({"run", "--recorder", "ebpf", "--workspace", directory_->path().string(), "--out",
             path("probe").string(), "--", "true"})
          .status == 125)
    GTEST_SKIP() << "no BPF recorder here";
  check("ebpf", {});
}

TEST_F(LimitNames, OfAChildAsAnOrdinaryUser) {
  auto user = test_user();
  if (!user) GTEST_SKIP() << "no throw-away user: GYGES_TEST_UID is not set or not root";
  if (gyges({"--version"}, *user).status != 0)
    GTEST_SKIP() << "the throw-away user cannot execute " << GYGES_BINARY;
  ASSERT_EQ(::chown(directory_->path().c_str(), user->uid, user->gid), 0);
  check("ptrace", *user);
}

}  // namespace
}  // namespace gyges
