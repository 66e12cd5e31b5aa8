// The commands that run in the sandbox, as pid 1 sees them.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "sandbox/init/channel.h"
#include "sandbox/init/protocol.h"
#include "sandbox/init/setup.h"

namespace gyges::init {

// Takes what no command keeps out of the bounding set, once for all: every command inherits it. 0,
// or -1 with errno.
int drop_bounding_set(const ProgramHeader& header);

// Makes what the first command needs while nobody waits for it. What fails here is tried again, and
// said, when it is asked for.
void prepare_first_command();

// Makes the process of the command that is asked for, up to its start gate, and reports it with a
// pidfd. The request's descriptors are closed here.
void spawn(const Program& program, const Received& received);

void signal_command(std::uint32_t id, int signal_number, bool group);

// Takes note of an ended process: reports it when it is the first process of a command.
void reap(pid_t pid, int status, const rusage& usage);

// Whether the command after which nothing is started has ended and left nobody behind.
bool all_is_over();

// Commands that have not ended.
std::uint32_t commands_running();

}  // namespace gyges::init
