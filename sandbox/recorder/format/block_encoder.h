// Events to the columns of a trace block (docs/trace_format.md, "Blocks").
//
// Measured with bench/trace on real traces: 2.5 to 5 million events a second are encoded,
// compressed and hashed on one core.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/format/block_summary.h"
#include "sandbox/recorder/format/block_tables.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

class BlockEncoder {
 public:
  BlockEncoder();

  // Starts the next block; true if its tables are empty: at first, when a table was full, and when
  // 256 Ki events have built on them, so that a reader never unpacks more than that to get at a
  // block.
  bool begin();
  // Fails for events that have more captures than the format holds.
  Status add(const Event& event);
  [[nodiscard]] std::size_t event_count() const { return events_; }
  [[nodiscard]] std::size_t raw_bytes() const;
  [[nodiscard]] std::size_t literal_bytes() const {
    return columns_[column_strings].used + columns_[column_bytes].used;
  }
  // The raw payload; valid until the next begin().
  const std::vector<std::uint8_t>& finish();
  // Of the events added since begin().
  std::string summary() { return summary_.encode(); }

 private:
  struct Stream {
    std::vector<std::uint8_t> bytes;
    std::size_t used = 0;
    std::uint8_t* room(std::size_t count) {
      if (bytes.size() - used < count) bytes.resize(bytes.size() * 2 + count);
      return bytes.data() + used;
    }
    void varint(std::uint64_t value);
    void zigzag(std::int64_t value);
    void append(std::string_view text);
  };
  // Whether index was not met in this block before.
  bool first_in_block(std::vector<std::uint32_t>& blocks, std::uint32_t index) const;
  void add_definition(std::string_view bytes);
  void add_capture(const Event& event, const Capture& capture);
  void add_literal(std::uint32_t number, const Capture& capture, std::string_view bytes);

  std::array<Stream, column_count> columns_;
  std::vector<std::uint8_t> payload_;
  Predictor predictor_;
  StringTable shapes_;
  StringTable contexts_;
  StringTable literals_;
  StructureMemory structures_;
  std::uint32_t next_literal_ = 0;
  std::uint32_t last_literal_ = 0;
  SummaryBuilder summary_;
  std::vector<std::uint32_t> shape_blocks_;  // by index, the block it was last met in
  std::vector<std::uint32_t> context_blocks_;
  std::uint32_t block_ = 0;
  std::size_t events_since_fresh_ = 0;
  std::size_t events_ = 0;
  bool fresh_ = true;
};

}  // namespace gyges::recorder
