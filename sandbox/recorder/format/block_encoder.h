// Events to the columns of a trace block (docs/trace_format.md, "Blocks").
//
// Measured with bench/recorder on real traces: 3.7 (find) to 6.3 million (tar) calls a second are
// encoded, compressed and hashed on one core.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/block_summary.h"
#include "sandbox/recorder/format/block_tables.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/time_columns.h"

namespace gyges::recorder {

class BlockEncoder {
 public:
  // `clock_step`: about what the clock of the events goes in, see clock_steps.h.
  explicit BlockEncoder(ClockStep clock_step = no_clock_step);

  // Starts the next block; true if its tables are empty: at first, when a table was full, and when
  // 256 Ki events have built on them, so that a reader never unpacks more than that to get at a
  // block.
  bool begin();
  // False for events that have more captures than the format holds. No Status: making one takes as
  // long as three columns.
  [[nodiscard]] bool add(const Event& event);
  [[nodiscard]] std::size_t event_count() const { return events_; }
  [[nodiscard]] std::size_t raw_bytes() const;
  [[nodiscard]] std::size_t literal_bytes() const {
    return columns_[column_strings].used + columns_[column_bytes].used;
  }
  // What its strings have of those before them, which is in no column.
  [[nodiscard]] std::size_t prefix_bytes() const { return prefix_bytes_; }
  // The raw payload; valid until the next begin().
  const std::vector<std::uint8_t>& finish();
  // Parts of that payload that are packed apart, in order: each has symbols of its own.
  struct Section {
    std::size_t end;
    bool numbers;  // nothing but small numbers: little is lost when they are packed fast
  };
  [[nodiscard]] const std::vector<Section>& sections() const { return sections_; }
  // Of the events added since begin().
  std::string summary() { return summary_.encode(); }

 private:
  // What the table of shapes says of a shape, kept by index.
  struct ShapeFacts {
    std::uint32_t block = 0;  // it was last met in
    std::uint8_t arguments = 6;
  };
  void add_context(const Event& event);
  void add_definition(std::string_view bytes);
  std::string_view shape_of(const Event& event);
  std::uint32_t add_shape(const Event& event, std::string_view bytes, std::uint32_t next,
                          bool& foreseen, std::size_t& arguments);
  // The literal's index, if it is kept. `index`: the same where it is known, else none.
  std::uint32_t add_capture(const Event& event, std::size_t place, std::uint32_t foreseen,
                            std::uint32_t index);
  void add_literal(std::uint32_t number, const Capture& capture, std::string_view bytes);
  void add_words(std::uint32_t number, const Capture& capture, std::string_view bytes,
                 std::size_t words);
  void end_section(bool numbers, std::size_t least_bytes);

  std::array<ColumnStream, column_count> columns_;
  std::array<ColumnStream, StructureMemory::max_words> lanes_;  // of column_words
  TimeColumnsEncoder times_;
  std::size_t prefix_bytes_ = 0;
  std::vector<std::uint8_t> payload_;
  Predictor predictor_;
  StringTable shapes_;
  StringTable contexts_;
  StringTable literals_;
  StructureMemory structures_;
  Successions successions_;
  std::array<std::string, capture_kind_count> last_strings_;
  std::uint32_t next_shape_ = 0;
  std::uint32_t next_literal_ = 0;
  std::uint32_t last_literal_ = 0;
  SummaryBuilder summary_;
  std::vector<ShapeFacts> shape_facts_;
  std::vector<std::uint32_t> context_blocks_;  // by index, the block it was last met in
  // Members, not locals: builds that clear locals would clear them for every event.
  std::array<char, shape_head_bytes + max_captures * shape_capture_bytes> shape_;
  std::array<std::uint64_t, max_captures> hashes_;
  std::array<bool, max_captures> as_foreseen_;
  // The contexts found last, by thread: events of several processors alternate.
  struct FoundContext {
    std::array<std::int32_t, 6> context{};
    std::uint32_t index = StringTable::none;
  };
  std::array<FoundContext, 16> found_contexts_{};
  std::vector<Section> sections_;
  std::uint32_t block_ = 0;
  std::size_t events_since_fresh_ = 0;
  std::size_t events_ = 0;
  bool fresh_ = true;
};

}  // namespace gyges::recorder
