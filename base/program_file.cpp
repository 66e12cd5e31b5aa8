#include "base/program_file.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace gyges {
namespace {

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

constexpr std::uint64_t page = 4096;

struct Search {
  std::uint64_t begin;
  std::uint64_t end;
  off_t offset;  // -1: not found
};

// The first object that dl_iterate_phdr names is the executable.
int look_in_executable(dl_phdr_info* info, std::size_t, void* argument) {
  auto* search = static_cast<Search*>(argument);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const std::uint64_t base = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0 && search->begin >= base &&
        search->end <= base + segment.p_filesz)
      search->offset = static_cast<off_t>(search->begin - base + segment.p_offset);
  }
  return 1;
}

}  // namespace

Result<UniqueFd> make_program_file(const char* name, std::string_view program) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  // Kernels before 6.3 do not know MFD_EXEC; later ones may refuse executable files without it.
  if (!fd && errno == EINVAL) fd.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd)
    return fail_errno("make memory file for", name, errno,
                      "allow executable memory files (sysctl vm.memfd_noexec=0)");
  GYGES_CHECK(write_all(fd.get(), program));
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
    return fail_errno("seal memory file", name);
  return fd;
}

UniqueFd find_in_own_executable(std::string_view bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  Search search{begin, begin + bytes.size(), -1};
  ::dl_iterate_phdr(&look_in_executable, &search);
  if (search.offset < 0 || search.offset % static_cast<off_t>(page) != 0) return {};
  UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  // What was started by naming the dynamic linker has that as its executable.
  std::array<char, page> start{};
  const std::size_t compared = std::min<std::size_t>(bytes.size(), start.size());
  if (::pread(file.get(), start.data(), compared, search.offset) !=
          static_cast<ssize_t>(compared) ||
      std::memcmp(start.data(), bytes.data(), compared) != 0 ||
      ::lseek(file.get(), search.offset, SEEK_SET) != search.offset)
    return {};
  return file;
}

}  // namespace gyges
