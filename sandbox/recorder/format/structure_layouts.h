// Where the fields of the kernel's structures lie and how they are shown; data, structures.layouts
// beside this file. Thread-safe; read at first use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::recorder {

struct LayoutField {
  enum class Form : std::uint8_t {
    number,   // unsigned
    integer,  // signed
    hex,
    octal,
    file_mode,  // S_IFREG|0644
    flags,      // set named
    device,
    signal,
    signal_set,
    limit,    // RLIM64_INFINITY
    handler,  // SIG_DFL, SIG_IGN or an address
    wait_status,
    file_nanoseconds,  // UTIME_NOW, UTIME_OMIT or a number
    capabilities,  // 32 low bits, and 32 high ones 12 bytes further
    text,          // NUL-ended within size
    layout,        // set and inner_bytes name it
  };
  std::string_view name;  // empty: only the value is shown
  std::size_t offset = 0;
  std::size_t size = 0;
  Form form = Form::number;
  std::string_view set;
  std::size_t inner_bytes = 0;  // of a layout; 0: that of x86-64
};

struct StructureLayout {
  std::string_view name;
  std::size_t bytes = 0;
  std::string_view open = "{";
  std::string_view close = "}";
  std::vector<LayoutField> fields;
};

// nullptr when there is no layout of that name and size. Without a size the first one of the data,
// which is that of x86-64.
const StructureLayout* find_layout(std::string_view name, std::size_t bytes = 0);

// Faults found while reading the data; empty, as a test asserts.
const std::vector<std::string>& layout_faults();

}  // namespace gyges::recorder
