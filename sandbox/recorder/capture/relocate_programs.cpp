#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>

#include "sandbox/recorder/capture/load_error.h"
#include "sandbox/recorder/capture/program_image.h"

extern "C" const unsigned char gyges_capture_bpf_begin[];
extern "C" const unsigned char gyges_capture_bpf_end[];

namespace gyges::recorder {
namespace {

struct ObjectDeleter {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};

// What libbpf is about to load, collected by collect().
struct Collection {
  bpf_object* object = nullptr;
  std::vector<ProgramCode> programs;
};
thread_local Collection* collection = nullptr;

// Place of the map with that descriptor in the object's list; -1 if there is none.
int map_number(int fd) {
  int number = 0;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, collection->object) {
    if (bpf_map__fd(map) == fd) return number;
    ++number;
  }
  return -1;
}

// Called by libbpf for each relocated program. Takes a copy, and has libbpf load an empty program
// in its place.
int collect(bpf_program* program, bpf_prog_load_opts* options, long) {
  ProgramCode code;
  code.name = bpf_program__name(program);
  code.type = bpf_program__type(program);
  // Newer versions of libbpf put it into the options later (1.3, not 1.1).
  code.attach_type = bpf_program__expected_attach_type(program);
  code.target = options->attach_btf_id;
  code.flags = options->prog_flags;
  const bpf_insn* const first = bpf_program__insns(program);
  code.code.assign(first, first + bpf_program__insn_cnt(program));
  for (std::size_t i = 0; i + 1 < code.code.size(); ++i) {
    bpf_insn& insn = code.code[i];
    if (insn.code != (BPF_LD | BPF_IMM | BPF_DW)) continue;
    if (insn.src_reg == BPF_PSEUDO_MAP_FD || insn.src_reg == BPF_PSEUDO_MAP_VALUE) {
      const int number = map_number(insn.imm);
      if (number < 0) return -EINVAL;
      insn.src_reg =
          insn.src_reg == BPF_PSEUDO_MAP_FD ? BPF_PSEUDO_MAP_IDX : BPF_PSEUDO_MAP_IDX_VALUE;
      insn.imm = number;
    }
    ++i;  // the second half
  }
  code.function_count = options->func_info_cnt;
  code.function_size = options->func_info_rec_size;
  code.functions.assign(static_cast<const char*>(options->func_info),
                        std::size_t{code.function_count} * code.function_size);
  collection->programs.push_back(std::move(code));
  static bpf_insn nothing[2] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
                                {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  options->func_info = nullptr;
  options->func_info_cnt = 0;
  options->line_info = nullptr;
  options->line_info_cnt = 0;
  return bpf_program__set_insns(program, nothing, 2);
}

bool kernel_has_function(const char* name) {
  btf* const types = btf__load_vmlinux_btf();
  if (types == nullptr) return false;
  const bool found = btf__find_by_name_kind(types, name, BTF_KIND_FUNC) > 0;
  btf__free(types);
  return found;
}

void register_sections() {
  static std::once_flag once;
  std::call_once(once, [] {
    LIBBPF_OPTS(libbpf_prog_handler_opts, options, .prog_prepare_load_fn = collect);
    libbpf_register_prog_handler("tp_btf+", BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, &options);
    libbpf_register_prog_handler("syscall", BPF_PROG_TYPE_SYSCALL, static_cast<bpf_attach_type>(0),
                                 &options);
  });
}

}  // namespace

Result<ProgramImage> relocate_programs() {
  keep_libbpf_messages();
  register_sections();
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "capture");
  const std::unique_ptr<bpf_object, ObjectDeleter> object(bpf_object__open_mem(
      gyges_capture_bpf_begin,
      static_cast<std::size_t>(gyges_capture_bpf_end - gyges_capture_bpf_begin), &options));
  if (!object) return load_error("object", errno);

  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) {
    const std::string_view section = bpf_program__section_name(program);
    const std::size_t slash = section.find('/');
    if (slash == std::string_view::npos) {
      bpf_program__set_flags(program, BPF_F_SLEEPABLE);
    } else if (bpf_program__set_attach_target(program, 0, section.data() + slash + 1) != 0) {
      bpf_program__set_autoload(program, false);  // this kernel has no such tracepoint
    }
  }
  Collection taken{object.get(), {}};
  collection = &taken;
  const int code = bpf_object__load(object.get());
  collection = nullptr;
  if (code != 0) return load_error("programs", -code);

  ProgramImage image;
  image.task_work = kernel_has_function("bpf_task_work_schedule_resume_impl");
  image.programs = std::move(taken.programs);
  std::uint32_t size = 0;
  const void* const types = btf__raw_data(bpf_object__btf(object.get()), &size);
  if (types == nullptr) return load_error("type information", errno);
  image.types.assign(static_cast<const char*>(types), size);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) {
    MapImage made;
    const std::string_view name = bpf_map__name(map);
    made.name = name.ends_with(".rodata") ? ".rodata" : name;
    made.type = bpf_map__type(map);
    made.key_size = bpf_map__key_size(map);
    made.value_size = bpf_map__value_size(map);
    made.max_entries = bpf_map__max_entries(map);
    made.flags = bpf_map__map_flags(map);
    made.key_type = bpf_map__btf_key_type_id(map);
    made.value_type = bpf_map__btf_value_type_id(map);
    image.maps.push_back(std::move(made));
  }
  return image;
}

}  // namespace gyges::recorder
