// The kernel side, relocated against the running kernel but not loaded: what bpf(2) takes.
//
// Relocation needs the kernel's whole type information (5 MB, and tens of milliseconds of search),
// always with the same result on the same kernel. So it is done by libbpf once for each boot and
// build, and kept below /run where only root can write. A kept image is used only if the file and
// its directory belong to root and nobody else can write them, and its hash fits; the kernel's
// verifier checks the programs again whatever they are.
//
// Thread-safety: free functions, safe from any thread.
#pragma once

#include <bpf/bpf.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::recorder {

struct MapImage {
  std::string name;
  std::uint32_t type = 0;
  std::uint32_t key_size = 0;
  std::uint32_t value_size = 0;
  std::uint32_t max_entries = 0;
  std::uint32_t flags = 0;
  std::uint32_t key_type = 0;  // in the programs' type information, 0 for none
  std::uint32_t value_type = 0;
};

struct ProgramCode {
  std::string name;
  std::uint32_t type = 0;         // BPF_PROG_TYPE_*
  std::uint32_t attach_type = 0;  // BPF_TRACE_RAW_TP, or 0
  std::uint32_t target = 0;       // type number of the tracepoint in the kernel; 0: it has none
  std::uint32_t flags = 0;
  std::vector<bpf_insn> code;  // maps are referred to by their index in ProgramImage::maps
  std::string functions;       // bpf_func_info
  std::uint32_t function_count = 0;
  std::uint32_t function_size = 0;
};

struct ProgramImage {
  std::string types;  // BTF of the programs
  std::vector<MapImage> maps;
  std::vector<ProgramCode> programs;
  bool task_work = false;  // the kernel has what sc_exit makes a task wait with

  [[nodiscard]] const ProgramCode* program(std::string_view name) const;
  // Index in `maps`; maps.size() if there is none.
  [[nodiscard]] std::size_t map(std::string_view name) const;
};

// Relocates the embedded object with libbpf. Programs whose tracepoint this kernel lacks are left
// out.
Result<ProgramImage> relocate_programs();

// Hash of the embedded object, the kernel and this boot, in hex: an image fits no other.
std::string image_key();

// The kept image of this boot, or a fresh one, which is kept where that is possible. `directory`:
// see shared_directory().
Result<ProgramImage> program_image(const std::filesystem::path& directory);

// /run/gyges: made if need be, with a place for kept programs (kept_programs.h); empty unless it is
// a directory of root's that nobody else can write and the caller is root.
std::filesystem::path shared_directory();

std::string encode_image(const ProgramImage& image);
// Fails on anything that is not the whole of an encoded image.
Result<ProgramImage> decode_image(std::string_view bytes);

}  // namespace gyges::recorder
