// What `gyges run` does before its arguments are understood.
#pragma once

namespace gyges::cli {

// Begins the sandbox that the run will have, as far as every one is alike, while the arguments and
// the policy are read. A mistake among them ends it again.
void begin_run(int argc, char** argv);

}  // namespace gyges::cli
