// Structures and socket addresses of the kernel's interface as text, in the manner of strace.
//
// Bytes are hostile and may be short; whatever does not fit its layout is shown as bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// `name` as in x86_64.syscalls; `layout_bytes` is the size the table gives for the call's ABI, so
// that an i386 structure is not read with the 64-bit layout.
std::string structure_text(std::string_view name, std::string_view bytes, std::size_t layout_bytes);

// The fields that the bytes hold, of a structure whose size the program says.
std::string first_fields_text(std::string_view name, std::string_view bytes,
                              std::size_t layout_bytes);

// "S_IFIFO|0600"
std::string file_mode_text(std::uint32_t mode);

// "[{d_ino=1, d_type=DT_REG, d_name=\"a\"}]" of getdents64 (`wide`) or getdents; a name that the
// bytes hold in part ends with dots. `longer`: there are more entries.
std::string directory_entries_text(std::string_view bytes, bool wide, bool longer);

// "[{...}, {...}]": as many whole structures as the bytes hold; `longer`: there are more.
std::string structures_text(std::string_view name, std::string_view bytes, std::size_t layout_bytes,
                            bool longer);

// As quoted(), for a place between < and >, which the name cannot end.
std::string bracketed_name(std::string_view name);

// "[3 5]": the descriptors of an fd_set below a number.
std::string descriptor_set_text(std::string_view bytes, std::uint64_t below);

// Control messages of a msghdr: "[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS,
// cmsg_data=[3]}]". `descriptor` prints those that are passed.
std::string control_text(std::string_view bytes, bool longer,
                         const std::function<std::string(std::int32_t)>& descriptor);

// {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("1.2.3.4")}
std::string sockaddr_text(std::string_view bytes);

// Short form for a descriptor's peer: "1.2.3.4:80", "[::1]:80", "unix:/run/x", "netlink". A
// name is as the program gave it: escape it before it is shown.
std::string sockaddr_short_text(std::string_view bytes);

// "[{WIFEXITED(s) && WEXITSTATUS(s) == 0}]"
std::string wait_status_text(std::int32_t status);

// "[INT CHLD]" of a 64-bit signal set.
std::string signal_set_text(std::uint64_t set);

// "{32 bytes: 0a0b...}": at most 16 of them.
std::string bytes_text(std::string_view bytes);

}  // namespace gyges::recorder
