// Runs a shell in a sandbox and shows what it printed and what it changed. docs/library.md
// explains.
#include <gyges/sandbox.h>

#include <iostream>

int main() {
  namespace gy = gyges::sandbox;
  auto complain = [](const gy::Error& error) {
    std::cerr << error.message << '\n';
    return 1;
  };

  auto policy = gy::Policy::load("default");
  if (!policy) return complain(policy.error());
  auto sandbox = gy::Sandbox::start(policy->with_wall_time(std::chrono::seconds(30)));
  if (!sandbox) return complain(sandbox.error());

  auto outcome =
      sandbox->run({{"sh", "-c", "id -un; cat /proc/net/dev | wc -l; echo 42 > /tmp/answer"}});
  if (!outcome) return complain(outcome.error());
  std::cout << outcome->output << "exit code " << outcome->exit_code << '\n';

  auto end = sandbox->stop();
  if (!end) return complain(end.error());
  for (const gy::Change& change : end->changes)
    std::cout << change.path << ' ' << change.size << " bytes\n";
}
