// Events to the columns of a trace block (docs/trace_format.md, "Blocks").
//
// Measured with bench/trace on real traces: 1.4 to 3.7 million events a second are encoded,
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
  // Where in that payload the columns begin that are nothing but small numbers: little is lost when
  // they are packed fast.
  [[nodiscard]] std::size_t number_columns_at() const { return number_columns_at_; }
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
    void byte(std::uint8_t value) {
      *room(1) = value;
      ++used;
    }
    void varint(std::uint64_t value) {
      std::uint8_t* at = room(10);
      while (value >= 0x80) {
        *at++ = static_cast<std::uint8_t>(value | 0x80U);
        value >>= 7U;
      }
      *at++ = static_cast<std::uint8_t>(value);
      used = static_cast<std::size_t>(at - bytes.data());
    }
    void zigzag(std::int64_t value);
    void append(std::string_view text);
  };
  // What the table of shapes says of a shape, kept by index.
  struct ShapeFacts {
    std::uint32_t block = 0;  // it was last met in
    std::uint8_t arguments = 6;
  };
  void add_context(const Event& event);
  void add_definition(std::string_view bytes);
  void add_capture(const Event& event, const Capture& capture, std::uint64_t hash);
  void add_literal(std::uint32_t number, const Capture& capture, std::string_view bytes);

  std::array<Stream, column_count> columns_;
  std::array<Stream, StructureMemory::max_words> lanes_;  // of column_words
  std::vector<std::uint8_t> payload_;
  Predictor predictor_;
  StringTable shapes_;
  StringTable contexts_;
  StringTable literals_;
  StructureMemory structures_;
  std::uint32_t next_literal_ = 0;
  std::uint32_t last_literal_ = 0;
  SummaryBuilder summary_;
  std::vector<ShapeFacts> shape_facts_;
  std::vector<std::uint32_t> context_blocks_;  // by index, the block it was last met in
  // Members, not locals: builds that clear locals would clear them for every event.
  std::array<char, shape_head_bytes + max_captures * shape_capture_bytes> shape_;
  std::array<std::uint64_t, max_captures> hashes_;
  // The contexts found last, by thread: events of several processors alternate.
  struct FoundContext {
    std::array<std::int32_t, 6> context{};
    std::uint32_t index = StringTable::none;
  };
  std::array<FoundContext, 16> found_contexts_{};
  std::size_t number_columns_at_ = 0;
  std::uint32_t block_ = 0;
  std::size_t events_since_fresh_ = 0;
  std::size_t events_ = 0;
  bool fresh_ = true;
};

}  // namespace gyges::recorder
