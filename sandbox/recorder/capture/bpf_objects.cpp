#include "sandbox/recorder/capture/bpf_objects.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <system_error>

#include "sandbox/recorder/capture/load_error.h"

namespace gyges::recorder {
namespace {

// Raw bpf(2): libbpf's wrappers of these two probe the kernel with programs of their own first.
int bpf_call(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof(attributes)));
}

std::uint64_t address(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

template <class Info>
std::uint32_t number_of(int fd) {
  Info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return 0;
  return info.id;
}

}  // namespace

std::uint32_t number_of_map(int fd) {
  return number_of<bpf_map_info>(fd);
}
std::uint32_t number_of_program(int fd) {
  return number_of<bpf_prog_info>(fd);
}
std::uint32_t number_of_link(int fd) {
  return number_of<bpf_link_info>(fd);
}

Result<std::future<int>> change_slot(int map, std::uint32_t slot, int value) {
  const auto make = [=] {
    const int code = value < 0 ? bpf_map_delete_elem(map, &slot)
                               : bpf_map_update_elem(map, &slot, &value, BPF_ANY);
    return code == 0 || (value < 0 && errno == ENOENT) ? 0 : errno;
  };
  std::future<int> change;
  try {
    change = std::async(std::launch::async, make);
  } catch (const std::system_error&) {  // no thread to be had
    change = std::async(std::launch::deferred, make);
    change.wait();
  }
  const std::uint32_t wanted = value < 0 ? 0 : number_of_map(value);
  for (;;) {
    const bool over = change.wait_for(std::chrono::microseconds(20)) == std::future_status::ready;
    std::uint32_t number = 0;
    if (bpf_map_lookup_elem(map, &slot, &number) != 0) number = 0;
    if (number == wanted) return change;
    if (over) return load_error("slot", change.get());
  }
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

Result<UniqueFd> load_types(const std::string& types) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  attributes.btf = address(types.data());
  attributes.btf_size = static_cast<std::uint32_t>(types.size());
  UniqueFd loaded(bpf_call(BPF_BTF_LOAD, attributes));
  if (!loaded) return load_error("type information", errno);
  return loaded;
}

}  // namespace gyges::recorder
