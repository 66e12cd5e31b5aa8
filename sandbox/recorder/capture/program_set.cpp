#include "sandbox/recorder/capture/program_set.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <system_error>
#include <thread>

#include "sandbox/recorder/capture/bpf_objects.h"
#include "sandbox/recorder/capture/byte_locks.h"
#include "sandbox/recorder/capture/capture_plan.h"
#include "sandbox/recorder/capture/kept_programs.h"
#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/load_error.h"

namespace gyges::recorder {
namespace {

// The shared file: the kernel's numbers, then a byte of state for each slot; then bytes that are
// only ever locked.
constexpr std::size_t numbers_bytes = 4096;
constexpr off_t opening_byte = 1 << 20;
constexpr off_t first_slot_byte = 1 << 21;
constexpr std::uint32_t bell_bytes = 4096;
constexpr std::uint32_t whole_set = wire::recorder_slots;
// States of a slot, and of the set.
constexpr char in_use = 'u';
constexpr char left_clean = 'c';  // its memory, or the set, stayed for whoever comes next

// What this kernel may lack without the record of system calls being less for it.
bool is_optional(const std::string& program) {
  return program.starts_with("ur_");
}

wire::settings settings_for(std::uint32_t ring_bytes) {
  wire::settings settings{};
  settings.ring_bytes = ring_bytes;
  settings.high_water = ring_bytes / 2;
  settings.bell_bytes = ring_bytes / 16;
  settings.spin_rounds = 100000;
  settings.wait_limit_ns = 1000000000;
  std::copy(capture_plans().begin(), capture_plans().end(), settings.plans);
  const CaptureCases& chosen = capture_cases();
  settings.case_multiplier = chosen.multiplier;
  std::copy(chosen.cases.begin(), chosen.cases.end(), settings.cases);
  std::copy(chosen.masks.begin(), chosen.masks.end(), settings.choice_masks);
  return settings;
}

constexpr std::string_view shared_maps[] = {"recorders", "bells", "labels", "calls"};
constexpr std::string_view attached_to_nothing = "who_reads";

}  // namespace

ProgramSet::~ProgramSet() {
  changes_.clear();  // waits for them
  if (area_ && may_stay()) {
    set_state(slot_, left_clean);
  } else if (area_) {
    for (const int map : {recorders_, bells_}) {
      if (auto change = change_slot(map, slot_, -1)) changes_.push_back(std::move(*change));
    }
  }
  changes_.clear();
  if (are_kept_) detach();
}

// Says that the set is attached to nothing, if that is sure: one that were attached twice for a
// moment would record calls twice. A recorder that is killed gives up its slot after its links, so
// no lock on a slot means that nobody else detaches at this moment.
void ProgramSet::detach() {
  if (links_.empty()) return;
  const std::uint32_t link = number_of_link(links_.front().get());
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (!lock_byte(file_.get(), opening_byte)) {
    if (std::chrono::steady_clock::now() > limit) return;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  links_.clear();
  const bool alone =
      !is_locked(file_.get(), first_slot_byte, slot_) &&
      !is_locked(file_.get(), first_slot_byte + slot_ + 1, wire::recorder_slots - slot_ - 1);
  if (alone && link != 0 && !UniqueFd(bpf_link_get_fd_by_id(link)))
    set_state(whole_set, left_clean);
  unlock_byte(file_.get(), opening_byte);
}

void ProgramSet::lock(const std::filesystem::path& path) {
  // Opening takes milliseconds; one that is stopped in the middle of it shall not stop the others.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < limit) {
    if (!file_) file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file_) return;
    struct stat facts {};
    if (lock_byte(file_.get(), opening_byte)) {
      if (fstat(file_.get(), &facts) == 0 && facts.st_nlink != 0) return;
      file_.reset();  // removed meanwhile: see drop_files_of_other_builds()
      continue;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  file_.reset();
}

Result<std::unique_ptr<ProgramSet>> ProgramSet::open(std::uint32_t ring_bytes, bool task_work,
                                                     bool uring,
                                                     const std::filesystem::path& directory) {
  keep_libbpf_messages();
  std::unique_ptr<ProgramSet> set(new ProgramSet);
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return load_error("possible CPUs", -cpus);
  set->cpus_ = static_cast<std::uint32_t>(cpus);
  set->ring_bytes_ = ring_bytes;
  set->sees_uring_ = uring;
  set->name_ = "recorder-" + image_key().substr(0, 16) + "-" + std::to_string(ring_bytes) +
               (task_work ? "" : "-spin") + (uring ? "-uring" : "");
  if (!directory.empty()) set->lock(directory / (set->name_ + ".set"));
  std::string known;
  if (set->file_) {
    set->home_ = kept_objects_home(directory, false);
    char text[numbers_bytes];
    const ssize_t size = pread(set->file_.get(), text, sizeof(text), 0);
    if (size > 0) known.assign(text, static_cast<std::size_t>(size));
  }
  if (!known.empty() && set->join(known)) {
    set->joined_ = true;
  } else {
    // Of a set that was not left as it should be, something may be attached still.
    if (set->state(whole_set) != left_clean || !set->take_kept()) {
      GYGES_TRY(const ProgramImage image, program_image(directory));
      GYGES_CHECK(set->load(image, task_work));
      // Only the next start is slower if they cannot be kept.
      if (!set->home_.empty()) set->are_kept_ = set->keep().has_value();
    }
    set->set_state(whole_set, in_use);
    GYGES_CHECK(set->attach());
    if (set->file_) {
      std::string numbers = set->numbers();
      numbers.resize(numbers_bytes);
      if (pwrite(set->file_.get(), numbers.data(), numbers.size(), 0) !=
          static_cast<ssize_t>(numbers.size()))
        static_cast<void>(ftruncate(set->file_.get(), 0));
    }
  }
  GYGES_CHECK(set->claim_slot());
  if (set->file_) unlock_byte(set->file_.get(), opening_byte);
  return set;
}

Status ProgramSet::make_area() {
  const MapImage area{"area", BPF_MAP_TYPE_ARRAY, 4, 0, 0, BPF_F_MMAPABLE, 0, 0};
  GYGES_TRY(area_, make_map(area,
                            static_cast<std::uint32_t>(sizeof(wire::cpu_area)) + ring_bytes_ +
                                wire::record_limit,
                            cpus_, -1, -1));
  const MapImage bell{"bell", BPF_MAP_TYPE_RINGBUF, 0, 0, 0, 0, 0, 0};
  GYGES_TRY(bell_, make_map(bell, 0, bell_bytes, -1, -1));
  return ok();
}

Status ProgramSet::load(const ProgramImage& image, bool task_work) {
  if (task_work && !image.task_work)
    return fail("load recorder programs", "sc_exit", "this kernel has none", "use Linux 6.18");
  GYGES_TRY(const UniqueFd types, load_types(image.types));
  GYGES_CHECK(make_area());
  const wire::settings settings = settings_for(ring_bytes_);
  std::vector<int> maps;
  for (const MapImage& map : image.maps) {
    std::uint32_t entries = map.max_entries;
    int inner = -1;
    int described = -1;
    if (map.name == "recorders") inner = area_.get();
    if (map.name == "bells") inner = bell_.get();
    if (map.name == "scratches") entries = cpus_;
    if (map.name == "labels" || map.name == "calls" || map.name == "waiters" || map.name == "lates")
      described = types.get();
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
    maps_.emplace_back(map.name, std::move(made));
  }
  return load_programs(image, types.get(), task_work);
}

// In two threads, because what takes longest, and as long as all the others, is one of them.
Status ProgramSet::load_programs(const ProgramImage& image, int types, bool task_work) {
  const std::string longest = task_work ? "sc_exit" : "sc_exit_spin";
  std::vector<int> maps;
  for (const auto& [name, map] : maps_) maps.push_back(map.get());
  const ProgramCode* const exit = image.program(longest);
  if (exit == nullptr || image.program("sc_enter") == nullptr)
    return load_error("programs", ENOENT);
  std::future<Result<UniqueFd>> exit_loaded =
      std::async(std::launch::async, [&, exit] { return load_program(*exit, types, maps); });
  for (const ProgramCode& code : image.programs) {
    if (code.name.starts_with("sc_exit") || (is_optional(code.name) && !sees_uring_)) continue;
    Result<UniqueFd> loaded = load_program(code, types, maps);
    if (!loaded && is_optional(code.name)) continue;
    GYGES_TRY(UniqueFd program, std::move(loaded));
    programs_.emplace_back(code.name, std::move(program));
  }
  GYGES_TRY(UniqueFd program, exit_loaded.get());
  programs_.emplace_back(longest, std::move(program));
  return ok();
}

Status ProgramSet::take_kept() {
  if (home_.empty()) return load_error("kept programs", ENOENT);
  GYGES_TRY(KeptObjects objects, kept_objects(home_, name_));
  for (auto& [name, object] : objects) {
    if (name.starts_with("map_"))
      maps_.emplace_back(name.substr(4), std::move(object));
    else
      programs_.emplace_back(name, std::move(object));
  }
  were_kept_ = are_kept_ = true;
  return ok();
}

Status ProgramSet::keep() const {
  std::vector<std::pair<std::string, int>> objects;
  for (const auto& [name, map] : maps_)
    if (name.find('.') == std::string::npos) objects.emplace_back("map_" + name, map.get());
  for (const auto& [name, program] : programs_) objects.emplace_back(name, program.get());
  return keep_objects(home_, name_, objects);
}

Status ProgramSet::find_parts() {
  const auto number = [](const auto& objects, std::string_view name) {
    for (const auto& [known, object] : objects)
      if (known == name) return object.get();
    return -1;
  };
  recorders_ = number(maps_, "recorders");
  bells_ = number(maps_, "bells");
  labels_ = number(maps_, "labels");
  calls_ = number(maps_, "calls");
  reader_program_ = number(programs_, attached_to_nothing);
  if (recorders_ < 0 || bells_ < 0 || labels_ < 0 || calls_ < 0 || reader_program_ < 0)
    return load_error("shared programs", ENOENT);
  return ok();
}

Status ProgramSet::attach() {
  GYGES_CHECK(find_parts());
  int uring = 0;
  for (const auto& [name, program] : programs_) {
    if (name == attached_to_nothing) continue;
    uring += is_optional(name) ? 1 : 0;
    UniqueFd link(bpf_raw_tracepoint_open(nullptr, program.get()));
    if (!link) return load_error("tracepoint", errno);
    links_.push_back(std::move(link));
  }
  sees_uring_ = uring == 2;
  return ok();
}

std::string ProgramSet::numbers() const {
  std::ostringstream text;
  for (const int map : {recorders_, bells_, labels_, calls_}) text << number_of_map(map) << ' ';
  text << number_of_program(reader_program_) << ' ' << (sees_uring_ ? 1 : 0) << ' '
       << (are_kept_ ? 1 : 0) << ' ' << links_.size();
  for (const UniqueFd& link : links_) text << ' ' << number_of_link(link.get());
  text << " end\n";
  return text.str();
}

// Fails if the set is gone, in part or in whole; then nothing of it is held.
Status ProgramSet::join(const std::string& numbers) {
  std::istringstream text(numbers);
  std::uint32_t maps[std::size(shared_maps)] = {};
  std::uint32_t reader = 0;
  std::size_t count = 0;
  std::vector<UniqueFd> links;
  std::string end;
  int sees_uring = 0;
  int are_kept = 0;
  for (std::uint32_t& map : maps) text >> map;
  text >> reader >> sees_uring >> are_kept >> count;
  for (std::size_t i = 0; text && i < count && i < 64; ++i) {
    std::uint32_t number = 0;
    text >> number;
    links.emplace_back(bpf_link_get_fd_by_id(number));
    if (!links.back()) return load_error("shared programs", errno);
  }
  text >> end;
  if (end != "end" || links.empty()) return load_error("shared programs", EINVAL);
  std::vector<std::pair<std::string, UniqueFd>> held;
  for (std::size_t i = 0; i < std::size(shared_maps); ++i) {
    held.emplace_back(shared_maps[i], bpf_map_get_fd_by_id(maps[i]));
    if (!held.back().second) return load_error("shared programs", errno);
  }
  UniqueFd program(bpf_prog_get_fd_by_id(reader));
  if (!program) return load_error("shared programs", errno);
  sees_uring_ = sees_uring == 1;
  are_kept_ = are_kept == 1;
  links_ = std::move(links);
  maps_ = std::move(held);
  programs_.emplace_back(attached_to_nothing, std::move(program));
  return find_parts();
}

bool ProgramSet::may_stay() const {
  return are_kept_ && slot_ == 0;
}

void ProgramSet::set_state(std::uint32_t slot, char state) const {
  if (file_)
    static_cast<void>(!pwrite(file_.get(), &state, 1, static_cast<off_t>(numbers_bytes + slot)));
}

char ProgramSet::state(std::uint32_t slot) const {
  char state = in_use;
  if (!file_ || pread(file_.get(), &state, 1, static_cast<off_t>(numbers_bytes + slot)) != 1)
    return in_use;
  return state;
}

Status ProgramSet::claim_slot() {
  for (slot_ = 0; slot_ < wire::recorder_slots; ++slot_) {
    if (file_ && !lock_byte(file_.get(), first_slot_byte + slot_)) continue;
    return fill_slot();
  }
  area_.reset();
  return fail("open recorder", "slot", "all slots of the shared programs are taken",
              "run fewer recorders at the same time");
}

Status ProgramSet::fill_slot() {
  std::uint32_t area = 0;
  std::uint32_t bell = 0;
  const bool filled = bpf_map_lookup_elem(recorders_, &slot_, &area) == 0;
  const char left = state(slot_);
  set_state(slot_, in_use);
  if (filled && left == left_clean && bpf_map_lookup_elem(bells_, &slot_, &bell) == 0) {
    area_.reset(bpf_map_get_fd_by_id(area));
    bell_.reset(bpf_map_get_fd_by_id(bell));
    if (area_ && bell_) return ok();
  }
  predecessor_died_ = filled && left != left_clean;
  if (!area_ || !bell_ || filled) GYGES_CHECK(make_area());
  for (const auto& [map, value] :
       {std::pair(recorders_, area_.get()), std::pair(bells_, bell_.get())}) {
    GYGES_TRY(std::future<int> change, change_slot(map, slot_, value));
    changes_.push_back(std::move(change));
  }
  return ok();
}

bool ProgramSet::is_alive(std::uint32_t slot) const {
  if (!file_ || slot == slot_ || slot >= wire::recorder_slots) return false;
  if (!lock_byte(file_.get(), first_slot_byte + slot)) return true;
  unlock_byte(file_.get(), first_slot_byte + slot);
  return false;
}

}  // namespace gyges::recorder
