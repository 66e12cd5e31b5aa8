// Puts the gateway's program into this process and runs it, where it stands in a file at some
// offset: in the executable of the supervisor, which no exec can start a part of. The alternative,
// a copy of it in a memory file, takes 2,000 pages and 3 to 5 ms; mapped from the file, only what
// is used of it is ever touched, and all gateways of the host share that.
//
// Does what the kernel does for a static program: maps the segments where they want to be, tells it
// of itself (getauxval(3)) and jumps to its entry. Runs before any byte of a stranger's is read. It
// is a position-independent program itself, so that it lies where a program of fixed addresses does
// not. Without a C library (sandbox/init/kernel_calls.cpp).
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "sandbox/network/gateway_descriptors.h"

namespace gyges::network {
namespace {

using namespace gateway_process;

constexpr unsigned long page = 4096;
constexpr int most_segments = 16;

unsigned long page_below(unsigned long address) {
  return address & ~(page - 1);
}

unsigned long page_above(unsigned long address) {
  return page_below(address + page - 1);
}

// In the form in which the gateway reports a failure of its own.
[[noreturn]] void give_up(const char* what, int code) {
  char line[128] = "\0\0\0\0load gateway: ";
  char* at = line + 4 + std::strlen(line + 4);
  std::strcpy(at, what);
  at += std::strlen(at);
  std::strcpy(at, ": error ");
  at += std::strlen(at);
  for (int unit = 1000; unit > 0; unit /= 10)
    if (code >= unit || unit == 1) *at++ = static_cast<char>('0' + code / unit % 10);
  auto size = static_cast<std::uint32_t>(at - line - 4);
  std::memcpy(line, &size, sizeof(size));
  auto ignored = ::write(report_fd, line, size + 4);
  (void)ignored;
  ::_exit(1);
}

bool read_at(long offset, void* into, unsigned long size) {
  return ::syscall(SYS_pread64, program_fd, into, size, offset) == static_cast<long>(size);
}

void map_segment(const Elf64_Phdr& segment, long program) {
  int protection = ((segment.p_flags & PF_R) != 0 ? PROT_READ : 0) |
                   ((segment.p_flags & PF_W) != 0 ? PROT_WRITE : 0) |
                   ((segment.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
  const unsigned long begin = page_below(segment.p_vaddr);
  const unsigned long file_end = segment.p_vaddr + segment.p_filesz;
  const unsigned long end = page_above(segment.p_vaddr + segment.p_memsz);
  const unsigned long mapped_end = page_above(file_end);
  auto map = [&](unsigned long from, unsigned long to, int flags, int fd, long offset) {
    auto* where = reinterpret_cast<void*>(from);
    if (::mmap(where, to - from, protection, MAP_PRIVATE | MAP_FIXED_NOREPLACE | flags, fd,
               offset) != where)
      give_up("map it", errno);
  };
  if (segment.p_filesz > 0)
    map(begin, mapped_end, 0, program_fd,
        program + static_cast<long>(segment.p_offset - (segment.p_vaddr - begin)));
  if (segment.p_memsz <= segment.p_filesz) return;
  if (mapped_end > file_end && segment.p_filesz > 0)
    std::memset(reinterpret_cast<void*>(file_end), 0, mapped_end - file_end);
  const unsigned long from = segment.p_filesz > 0 ? mapped_end : begin;
  if (end > from) map(from, end, MAP_ANONYMOUS, -1, 0);
}

// `stack`: what the kernel gave this program: argc, argv, environment, auxiliary vector.
[[noreturn]] void enter(unsigned long* stack, unsigned long entry) {
  asm volatile(
      "mov %0, %%rsp\n"
      "xor %%edx, %%edx\n"  // no function for exit to call
      "xor %%ebp, %%ebp\n"
      "jmp *%1\n"
      :
      : "r"(stack), "r"(entry)
      : "rdx", "memory");
  __builtin_unreachable();
}

[[noreturn]] void load(unsigned long* stack) {
  const long program = ::syscall(SYS_lseek, program_fd, 0, SEEK_CUR);
  Elf64_Ehdr header{};
  if (program < 0 || !read_at(program, &header, sizeof(header))) give_up("read its head", errno);
  Elf64_Phdr segments[most_segments];
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_EXEC ||
      header.e_machine != EM_X86_64 || header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phnum > most_segments)
    give_up("read its head", ENOEXEC);
  if (!read_at(program + static_cast<long>(header.e_phoff), segments,
               header.e_phnum * sizeof(Elf64_Phdr)))
    give_up("read its segments", errno);
  unsigned long heads = 0;  // where the program headers come to lie
  for (int i = 0; i < header.e_phnum; ++i) {
    const Elf64_Phdr& segment = segments[i];
    if (segment.p_type != PT_LOAD) continue;
    map_segment(segment, program);
    if (segment.p_offset <= header.e_phoff && header.e_phoff < segment.p_offset + segment.p_filesz)
      heads = segment.p_vaddr + (header.e_phoff - segment.p_offset);
  }
  ::close(program_fd);
  unsigned long* at = stack + 1 + stack[0] + 1;  // past argv
  while (*at != 0) ++at;                         // and the environment
  for (++at; at[0] != AT_NULL; at += 2) {
    if (at[0] == AT_PHDR) at[1] = heads;
    if (at[0] == AT_PHNUM) at[1] = header.e_phnum;
    if (at[0] == AT_ENTRY) at[1] = header.e_entry;
  }
  enter(stack, header.e_entry);
}

}  // namespace
}  // namespace gyges::network

int main(int, char** argv) {
  gyges::network::load(reinterpret_cast<unsigned long*>(argv) - 1);
}
