#include "sandbox/run/idle_memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace gyges::run {
namespace {

// Segments that nobody can have written to: dropped, they are read from the file again.
int release_segments(dl_phdr_info* object, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t start = object->dlpi_addr + segment.p_vaddr;
    const std::uintptr_t begin = (start + page - 1) / page * page;
    const std::uintptr_t end = (start + segment.p_filesz) / page * page;
    // Refused it costs memory, nothing else.
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 1;  // the program itself is the first; libraries are small and shared with others
}

}  // namespace

void release_idle_memory() {
  ::malloc_trim(0);
  ::dl_iterate_phdr(&release_segments, nullptr);
}

}  // namespace gyges::run
