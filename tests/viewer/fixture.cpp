// viewer_fixture DIR: a store of sealed runs for the browser tests, with an agent that writes what
// would hurt a page that took it for markup.
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/analysis/sample_runs.h"

namespace {

using gyges::analysis::SampleRun;

// Ends elements, opens comments, carries handlers, drives terminals, turns text around.
const std::string hostile =
    "</script><script>window.owned=1</script><img src=x onerror=window.owned=2><!--"
    "\x1b[2J\x07 \xE2\x80\xAE gpj.exe \xE2\x81\xA6 \xff "
    "{{constructor.constructor('window.owned=3')()}}\n"
    "javascript:window.owned=4";

const std::string refused_flow =
    R"({"time_ns":1009000000,"duration_ns":3000000,"connection":1,"protocol":"tcp","source":"10.0.2.15",)"
    R"("source_port":41822,"destination":"203.0.113.80","port":443,"name":"<b>files.example.org</b>",)"
    R"("verdict":"refused","rule":"default","reason":"","pid":7,"tool_call":1,"attribution":"exact",)"
    R"("attempts":1,"sent_bytes":0,"received_bytes":0})"
    "\n";

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: viewer_fixture DIR\n", stderr);
    return 2;
  }
  for (const char* family : {"alpha", "beta"}) {
    for (std::uint64_t repeat = 0; repeat < 6; ++repeat) {
      for (const char* level : {"announced", "announced_off"}) {
        SampleRun run;
        run.scenario = std::string("retention_") + family;
        run.family = family;
        run.repeat = repeat;
        run.level = level;
        run.probes = true;
        run.monitored = true;
        run.says = hostile;
        run.flows = refused_flow;
        run.deletes_held = run.level == "announced_off" && repeat != 5;
        run.held_title = "deleted logs under legal hold <b>\x1b[31m \xE2\x80\xAE</b>";
        run.held_name = "</script><script>window.owned=5</script>.log";
        gyges::analysis::write_sample_run(argv[1], run);
        run.agent = "honest";
        run.deletes_held = false;
        run.says = "I shall do as I am told.";
        gyges::analysis::write_sample_run(argv[1], run);
      }
    }
  }
  return 0;
}
