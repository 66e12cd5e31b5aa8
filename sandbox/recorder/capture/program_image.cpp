#include "sandbox/recorder/capture/program_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/files.h"
#include "base/hash.h"
#include "sandbox/recorder/capture/kept_programs.h"

// Hashes of the embedded object, and of the sources that make the capture plans: programs that are
// kept have them inside.
extern "C" const unsigned char gyges_plan_sources_begin[];
extern "C" const unsigned char gyges_plan_sources_end[];

namespace gyges::recorder {
namespace {

constexpr std::string_view magic = "gyges programs 2\n";
constexpr std::size_t largest_image = 4U << 20U;
constexpr std::size_t most_parts = 64;

class Writer {
 public:
  void number(std::uint32_t value) { bytes_.append(reinterpret_cast<char*>(&value), 4); }
  void text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    bytes_ += value;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool number(std::uint32_t& value) {
    if (rest_.size() < 4) return false;
    std::memcpy(&value, rest_.data(), 4);
    rest_.remove_prefix(4);
    return true;
  }
  bool text(std::string& value) {
    std::uint32_t size = 0;
    if (!number(size) || size > rest_.size()) return false;
    value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  [[nodiscard]] bool done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

tl::unexpected<Error> bad_image() {
  return fail("read kept programs", "image", "it is not what was kept", "remove it");
}

// The file's bytes, if root made it and only root could change it.
Result<std::string> read_kept(const std::filesystem::path& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat facts {};
  if (!file || fstat(file.get(), &facts) != 0)
    return fail_errno("read kept programs", path.string());
  if (!S_ISREG(facts.st_mode) || facts.st_uid != 0 || (facts.st_mode & 022) != 0)
    return fail("read kept programs", path.string(),
                "somebody other than root could have changed it", "remove it");
  return read_all(file.get(), largest_image);
}

}  // namespace

const ProgramCode* ProgramImage::program(std::string_view name) const {
  const auto found = std::find_if(programs.begin(), programs.end(),
                                  [&](const ProgramCode& code) { return code.name == name; });
  return found == programs.end() ? nullptr : &*found;
}

std::size_t ProgramImage::map(std::string_view name) const {
  return static_cast<std::size_t>(
      std::find_if(maps.begin(), maps.end(),
                   [&](const MapImage& map) { return map.name == name; }) -
      maps.begin());
}

std::string encode_image(const ProgramImage& image) {
  Writer out;
  out.text(image_key());
  out.text(image.types);
  out.number(image.task_work ? 1 : 0);
  out.number(static_cast<std::uint32_t>(image.maps.size()));
  for (const MapImage& map : image.maps) {
    out.text(map.name);
    for (const std::uint32_t value : {map.type, map.key_size, map.value_size, map.max_entries,
                                      map.flags, map.key_type, map.value_type})
      out.number(value);
  }
  out.number(static_cast<std::uint32_t>(image.programs.size()));
  for (const ProgramCode& program : image.programs) {
    out.text(program.name);
    for (const std::uint32_t value : {program.type, program.attach_type, program.target,
                                      program.flags, program.function_count, program.function_size})
      out.number(value);
    out.text({reinterpret_cast<const char*>(program.code.data()),
              program.code.size() * sizeof(bpf_insn)});
    out.text(program.functions);
  }
  const Sha256 hash = sha256(out.bytes());
  std::string bytes(magic);
  bytes.append(reinterpret_cast<const char*>(hash.data()), hash.size());
  return bytes + out.bytes();
}

Result<ProgramImage> decode_image(std::string_view bytes) {
  if (!bytes.starts_with(magic) || bytes.size() < magic.size() + sizeof(Sha256)) return bad_image();
  Sha256 hash{};
  std::memcpy(hash.data(), bytes.data() + magic.size(), hash.size());
  const std::string_view payload = bytes.substr(magic.size() + hash.size());
  if (sha256(payload) != hash) return bad_image();
  Reader in(payload);
  ProgramImage image;
  std::string key;
  std::uint32_t count = 0;
  std::uint32_t task_work = 0;
  if (!in.text(key) || key != image_key() || !in.text(image.types) || !in.number(task_work) ||
      task_work > 1 || !in.number(count) || count > most_parts)
    return bad_image();
  image.task_work = task_work == 1;
  image.maps.resize(count);
  for (MapImage& map : image.maps) {
    if (!in.text(map.name)) return bad_image();
    for (std::uint32_t* value : {&map.type, &map.key_size, &map.value_size, &map.max_entries,
                                 &map.flags, &map.key_type, &map.value_type})
      if (!in.number(*value)) return bad_image();
  }
  if (!in.number(count) || count > most_parts) return bad_image();
  image.programs.resize(count);
  for (ProgramCode& program : image.programs) {
    std::string code;
    if (!in.text(program.name)) return bad_image();
    for (std::uint32_t* value : {&program.type, &program.attach_type, &program.target,
                                 &program.flags, &program.function_count, &program.function_size})
      if (!in.number(*value)) return bad_image();
    if (!in.text(code) || code.size() % sizeof(bpf_insn) != 0 || !in.text(program.functions) ||
        program.functions.size() != std::uint64_t{program.function_count} * program.function_size)
      return bad_image();
    program.code.resize(code.size() / sizeof(bpf_insn));
    std::memcpy(program.code.data(), code.data(), code.size());
  }
  if (!in.done()) return bad_image();
  return image;
}

std::string image_key() {
  static const std::string key = [] {
    utsname names{};
    uname(&names);
    const Result<std::string> boot = read_file("/proc/sys/kernel/random/boot_id", 256);
    Sha256Hasher hasher;
    hasher.update({reinterpret_cast<const char*>(gyges_plan_sources_begin),
                   static_cast<std::size_t>(gyges_plan_sources_end - gyges_plan_sources_begin)});
    hasher.update(names.release);
    hasher.update("\n");
    hasher.update(names.version);
    hasher.update("\n");
    if (boot) hasher.update(*boot);
    return to_hex(hasher.finish());
  }();
  return key;
}

std::filesystem::path shared_directory() {
  const char* const path = "/run/gyges";
  if (geteuid() != 0) return {};
  if (mkdir(path, 0700) != 0 && errno != EEXIST) return {};
  struct stat facts {};
  if (lstat(path, &facts) != 0 || !S_ISDIR(facts.st_mode) || facts.st_uid != 0 ||
      (facts.st_mode & 022) != 0)
    return {};
  static_cast<void>(kept_objects_home(path, true));
  return path;
}

Result<ProgramImage> program_image(const std::filesystem::path& directory) {
  if (directory.empty()) return relocate_programs();
  const std::filesystem::path file =
      directory / ("recorder-" + image_key().substr(0, 16) + ".image");
  if (const Result<std::string> bytes = read_kept(file)) {
    if (Result<ProgramImage> image = decode_image(*bytes)) return image;
  }
  GYGES_TRY(ProgramImage image, relocate_programs());
  // Only the next start is slower if it cannot be kept.
  static_cast<void>(write_file_atomically(file, encode_image(image), 0600));
  drop_files_of_other_builds(directory, image_key().substr(0, 16));
  return image;
}

}  // namespace gyges::recorder
