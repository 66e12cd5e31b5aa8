// The form of the table of shipped_filters.h; apart, because the program that writes the table
// cannot be linked with the finished one.
#include <cstdint>
#include <cstring>

#include "sandbox/isolation/shipped_filters.h"

namespace gyges::isolation {
namespace {

void append_number(std::string& table, std::size_t number) {
  auto value = static_cast<std::uint32_t>(number);
  table.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_text(std::string& table, std::string_view text) {
  append_number(table, text.size());
  table += text;
}

// Reads in order; of this build's own making, but its end is heeded all the same.
class TableReader {
 public:
  explicit TableReader(std::string_view table) : table_(table) {}

  [[nodiscard]] bool at_end() const { return table_.size() < sizeof(std::uint32_t); }

  std::uint32_t number() {
    std::uint32_t value = 0;
    if (at_end()) return 0;
    std::memcpy(&value, table_.data(), sizeof(value));
    table_.remove_prefix(sizeof(value));
    return value;
  }

  std::string_view text() {
    std::size_t size = number();  // first: it takes itself off the table
    std::string_view found = table_.substr(0, size);
    table_.remove_prefix(found.size());
    return found;
  }

 private:
  std::string_view table_;
};

}  // namespace

void append_filter(std::string& table, std::string_view key,
                   const std::vector<std::string>& programs) {
  append_text(table, key);
  append_number(table, programs.size());
  for (const std::string& program : programs) append_text(table, program);
}

std::vector<std::string> find_filter(std::string_view table, std::string_view key) {
  TableReader reader(table);
  while (!reader.at_end()) {
    bool found = reader.text() == key;
    std::vector<std::string> programs;
    for (std::uint32_t left = reader.number(); left > 0; --left) {
      std::string_view program = reader.text();
      if (found) programs.emplace_back(program);
    }
    if (found) return programs;
  }
  return {};
}

}  // namespace gyges::isolation
