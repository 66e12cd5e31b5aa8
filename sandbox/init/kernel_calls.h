// System calls of kernel_calls.cpp that no C library has, or that must not touch errno: a command's
// process shares the memory of pid 1, errno with it, until it executes its program.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// clone(2) with a stack of its own, at whose end `top` lies; the child runs `body`, which does not
// return. Its number, or -1 with errno.
int start_on_stack(unsigned long flags, void* top, std::uint32_t* child_tid, void (*body)(void*),
                   void* argument);

// As read(2), write(2) and execve(2), but for a negative errno value in place of errno.
long read_quietly(int fd, void* to, std::size_t size);
long write_quietly(int fd, const void* from, std::size_t size);
int execute_program(const char* path, char* const* arguments, char* const* environment);
}
