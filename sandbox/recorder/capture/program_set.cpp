#include "sandbox/recorder/capture/program_set.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <thread>

#include "sandbox/recorder/capture/capture_plan.h"
#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/load_error.h"

namespace gyges::recorder {
namespace {

// Bytes of the shared file that are only ever locked.
constexpr off_t opening_byte = 1 << 20;
constexpr off_t first_slot_byte = 1 << 21;
constexpr std::uint32_t bell_bytes = 4096;

// Raw bpf(2): libbpf's wrappers of these two probe the kernel with programs of their own first.
int bpf_call(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof(attributes)));
}

std::uint64_t address(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

bool lock_byte(int file, off_t byte) {
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  return fcntl(file, F_OFD_SETLK, &range) == 0;
}

void unlock_byte(int file, off_t byte) {
  struct flock range {};
  range.l_type = F_UNLCK;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  fcntl(file, F_OFD_SETLK, &range);
}

Result<UniqueFd> make_map(const MapImage& image, std::uint32_t value_size, std::uint32_t entries,
                          int types, int inner) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  attributes.map_type = image.type;
  attributes.key_size = image.key_size;
  attributes.value_size = value_size;
  attributes.max_entries = entries;
  attributes.map_flags = image.flags;
  if (types >= 0) {
    attributes.btf_fd = static_cast<std::uint32_t>(types);
    attributes.btf_key_type_id = image.key_type;
    attributes.btf_value_type_id = image.value_type;
  }
  if (inner >= 0) attributes.inner_map_fd = static_cast<std::uint32_t>(inner);
  UniqueFd map(bpf_call(BPF_MAP_CREATE, attributes));
  if (!map) return load_error("map " + image.name, errno);
  return map;
}

// ENOTSUP where the kernel has no task work; any other errno is of the load itself.
Result<UniqueFd> load_program(const ProgramCode& code, int types, const std::vector<int>& maps) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  attributes.prog_type = code.type;
  attributes.expected_attach_type = code.attach_type;
  attributes.attach_btf_id = code.target;
  attributes.prog_flags = code.flags;
  attributes.insns = address(code.code.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(code.code.size());
  attributes.license = address("Dual BSD/GPL");
  attributes.prog_btf_fd = static_cast<std::uint32_t>(types);
  attributes.func_info = address(code.functions.data());
  attributes.func_info_cnt = code.function_count;
  attributes.func_info_rec_size = code.function_size;
  attributes.fd_array = address(maps.data());
  std::strncpy(attributes.prog_name, code.name.c_str(), sizeof(attributes.prog_name) - 1);
  UniqueFd program(bpf_call(BPF_PROG_LOAD, attributes));
  if (program) return program;
  const int refused = errno;
  // Once more, for the verifier's last words.
  std::vector<char> log(1U << 20U);
  attributes.log_level = 1;
  attributes.log_buf = address(log.data());
  attributes.log_size = static_cast<std::uint32_t>(log.size());
  if (refused != EPERM) static_cast<void>(bpf_call(BPF_PROG_LOAD, attributes));
  tl::unexpected<Error> error = load_error(code.name, refused);
  std::string_view text(log.data(), strnlen(log.data(), log.size()));
  if (const std::size_t end = text.find("\nprocessed "); end != std::string_view::npos)
    text = text.substr(0, end);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  text = text.substr(text.rfind('\n') + 1);
  if (!text.empty()) error.value().reason += " (" + std::string(text.substr(0, 300)) + ")";
  return error;
}

// What this kernel may lack without the record of system calls being less for it.
bool is_optional(const std::string& program) {
  return program.starts_with("ur_");
}

template <class Info>
std::uint32_t number_of(int fd) {
  Info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return 0;
  return info.id;
}

wire::settings settings_for(std::uint32_t ring_bytes) {
  wire::settings settings{};
  settings.ring_bytes = ring_bytes;
  settings.high_water = ring_bytes / 2;
  settings.bell_bytes = ring_bytes / 16;
  settings.spin_rounds = 100000;
  settings.wait_limit_ns = 1000000000;
  std::copy(capture_plans().begin(), capture_plans().end(), settings.plans);
  const CaptureCases& cases = capture_cases();
  settings.case_multiplier = cases.multiplier;
  std::copy(cases.slots.begin(), cases.slots.end(), settings.cases);
  std::copy(cases.masks.begin(), cases.masks.end(), settings.choice_masks);
  return settings;
}

constexpr const char* shared_maps[] = {"recorders", "bells", "labels"};

}  // namespace

ProgramSet::~ProgramSet() {
  if (!area_) return;
  bpf_map_delete_elem(recorders_, &slot_);
  bpf_map_delete_elem(bells_, &slot_);
}

Result<std::unique_ptr<ProgramSet>> ProgramSet::open(std::uint32_t ring_bytes, bool task_work,
                                                     const std::filesystem::path& directory) {
  keep_libbpf_messages();
  std::unique_ptr<ProgramSet> set(new ProgramSet);
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return load_error("possible CPUs", -cpus);
  set->cpus_ = static_cast<std::uint32_t>(cpus);
  set->ring_bytes_ = ring_bytes;
  if (!directory.empty()) {
    const std::filesystem::path path =
        directory / ("recorder-" + image_key().substr(0, 16) + "-" + std::to_string(ring_bytes) +
                     (task_work ? "" : "-spin") + ".set");
    set->file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    // Opening takes milliseconds; one that is stopped in the middle of it shall not stop the
    // others.
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (set->file_ && !lock_byte(set->file_.get(), opening_byte)) {
      if (std::chrono::steady_clock::now() > limit) set->file_.reset();
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  }
  Status opened = ok();
  std::string known;
  if (set->file_) {
    char text[4096];
    const ssize_t size = pread(set->file_.get(), text, sizeof(text), 0);
    if (size > 0) known.assign(text, static_cast<std::size_t>(size));
  }
  if (!known.empty() && set->join(known)) {
    set->joined_ = true;
  } else {
    GYGES_TRY(const ProgramImage image, program_image(directory));
    GYGES_CHECK(set->load(image, task_work));
    if (set->file_) {
      const std::string numbers = set->numbers();
      if (ftruncate(set->file_.get(), 0) != 0 ||
          pwrite(set->file_.get(), numbers.data(), numbers.size(), 0) !=
              static_cast<ssize_t>(numbers.size()))
        static_cast<void>(ftruncate(set->file_.get(), 0));
    }
  }
  GYGES_CHECK(set->claim_slot());
  if (set->file_) unlock_byte(set->file_.get(), opening_byte);
  return set;
}

Result<UniqueFd> ProgramSet::make_area() const {
  const MapImage area{"area", BPF_MAP_TYPE_ARRAY, 4, 0, 0, BPF_F_MMAPABLE, 0, 0};
  return make_map(
      area, static_cast<std::uint32_t>(sizeof(wire::cpu_area)) + ring_bytes_ + wire::record_limit,
      cpus_, -1, -1);
}

namespace {
Result<UniqueFd> make_bell() {
  const MapImage bell{"bell", BPF_MAP_TYPE_RINGBUF, 0, 0, 0, 0, 0, 0};
  return make_map(bell, 0, bell_bytes, -1, -1);
}
}  // namespace

Status ProgramSet::load(const ProgramImage& image, bool task_work) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  attributes.btf = address(image.types.data());
  attributes.btf_size = static_cast<std::uint32_t>(image.types.size());
  const UniqueFd types(bpf_call(BPF_BTF_LOAD, attributes));
  if (!types) return load_error("type information", errno);
  GYGES_TRY(area_, make_area());
  GYGES_TRY(bell_, make_bell());
  const wire::settings settings = settings_for(ring_bytes_);
  std::vector<int> maps;
  for (const MapImage& map : image.maps) {
    std::uint32_t entries = map.max_entries;
    int inner = -1;
    int described = -1;
    if (map.name == "recorders") inner = area_.get();
    if (map.name == "bells") inner = bell_.get();
    if (map.name == "scratches") entries = cpus_;
    if (map.name == "labels" || map.name == "waiters") described = types.get();
    GYGES_TRY(UniqueFd made, make_map(map, map.value_size, entries, described, inner));
    if (map.name == ".rodata") {
      if (map.value_size != sizeof(settings))
        return fail("load recorder programs", "constants",
                    "layout differs from the embedded object", "rebuild Gyges");
      const std::uint32_t first = 0;
      if (bpf_map_update_elem(made.get(), &first, &settings, BPF_ANY) != 0 ||
          bpf_map_freeze(made.get()) != 0)
        return load_error("constants", errno);
    }
    maps.push_back(made.get());
    maps_.push_back(std::move(made));
  }
  for (const char* const name : shared_maps)
    if (image.map(name) == image.maps.size()) return load_error(name, ENOENT);
  recorders_ = maps[image.map("recorders")];
  bells_ = maps[image.map("bells")];
  labels_ = maps[image.map("labels")];
  sees_uring_ = image.program("ur_submit") != nullptr && image.program("ur_complete") != nullptr;
  for (const ProgramCode& code : image.programs) {
    if (code.name == (task_work ? "sc_exit_spin" : "sc_exit")) continue;
    Result<UniqueFd> loaded = load_program(code, types.get(), maps);
    if (!loaded && is_optional(code.name)) {
      sees_uring_ = false;
      continue;
    }
    GYGES_TRY(UniqueFd program, std::move(loaded));
    if (code.name == "who_reads") reader_program_ = program.get();
    programs_.push_back(std::move(program));
  }
  if (reader_program_ < 0 || image.program("sc_enter") == nullptr)
    return load_error("programs", ENOENT);
  for (const UniqueFd& program : programs_) {
    if (program.get() == reader_program_) continue;
    UniqueFd link(bpf_raw_tracepoint_open(nullptr, program.get()));
    if (!link) return load_error("tracepoint", errno);
    links_.push_back(std::move(link));
  }
  return ok();
}

std::string ProgramSet::numbers() const {
  std::ostringstream text;
  text << number_of<bpf_map_info>(recorders_) << ' ' << number_of<bpf_map_info>(bells_) << ' '
       << number_of<bpf_map_info>(labels_) << ' ' << number_of<bpf_prog_info>(reader_program_)
       << ' ' << (sees_uring_ ? 1 : 0) << ' ' << links_.size();
  for (const UniqueFd& link : links_) text << ' ' << number_of<bpf_link_info>(link.get());
  text << " end\n";
  return text.str();
}

// Fails if the set is gone, in part or in whole; then nothing of it is held.
Status ProgramSet::join(const std::string& numbers) {
  std::istringstream text(numbers);
  std::uint32_t recorders = 0;
  std::uint32_t bells = 0;
  std::uint32_t labels = 0;
  std::uint32_t reader = 0;
  std::size_t count = 0;
  std::vector<UniqueFd> links;
  std::string end;
  int sees_uring = 0;
  text >> recorders >> bells >> labels >> reader >> sees_uring >> count;
  for (std::size_t i = 0; text && i < count && i < 64; ++i) {
    std::uint32_t number = 0;
    text >> number;
    links.emplace_back(bpf_link_get_fd_by_id(number));
    if (!links.back()) return load_error("shared programs", errno);
  }
  text >> end;
  if (end != "end" || links.empty()) return load_error("shared programs", EINVAL);
  std::vector<UniqueFd> maps;
  for (const std::uint32_t number : {recorders, bells, labels}) {
    maps.emplace_back(bpf_map_get_fd_by_id(number));
    if (!maps.back()) return load_error("shared programs", errno);
  }
  UniqueFd program(bpf_prog_get_fd_by_id(reader));
  if (!program) return load_error("shared programs", errno);
  GYGES_TRY(area_, make_area());
  GYGES_TRY(bell_, make_bell());
  recorders_ = maps[0].get();
  bells_ = maps[1].get();
  labels_ = maps[2].get();
  reader_program_ = program.get();
  sees_uring_ = sees_uring == 1;
  links_ = std::move(links);
  maps_ = std::move(maps);
  programs_.push_back(std::move(program));
  return ok();
}

Status ProgramSet::claim_slot() {
  for (slot_ = 0; slot_ < wire::recorder_slots; ++slot_) {
    if (file_ && !lock_byte(file_.get(), first_slot_byte + slot_)) continue;
    std::uint32_t number = 0;
    predecessor_died_ = bpf_map_lookup_elem(recorders_, &slot_, &number) == 0;
    const int area = area_.get();
    const int bell = bell_.get();
    if (bpf_map_update_elem(recorders_, &slot_, &area, BPF_ANY) != 0 ||
        bpf_map_update_elem(bells_, &slot_, &bell, BPF_ANY) != 0)
      return load_error("slot", errno);
    return ok();
  }
  area_.reset();
  return fail("open recorder", "slot", "all slots of the shared programs are taken",
              "run fewer recorders at the same time");
}

bool ProgramSet::is_alive(std::uint32_t slot) const {
  if (!file_ || slot == slot_ || slot >= wire::recorder_slots) return false;
  if (!lock_byte(file_.get(), first_slot_byte + slot)) return true;
  unlock_byte(file_.get(), first_slot_byte + slot);
  return false;
}

}  // namespace gyges::recorder
