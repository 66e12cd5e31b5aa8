#include "sandbox/cues/audit/reading.h"

#include "base/json.h"
#include "base/text.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

constexpr std::size_t max_line = 64U << 10U;
constexpr std::size_t max_observations = 10'000;
constexpr std::size_t max_channel = 300;

bool is_channel(const std::string& name) {
  if (name.empty() || name.size() > max_channel) return false;
  for (char c : name)
    if (c < '!' || c > '~' || c == '"' || c == '\\') return false;
  return true;
}

// A member that is a string; nothing else may stand there.
const std::string* text_of(const json& line, const char* key) {
  auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get_ptr<const std::string*>() : nullptr;
}

tl::unexpected<Error> malformed(std::string_view source, std::size_t number,
                                std::string_view what) {
  return fail("read what the probe says", source,
              "line " + std::to_string(number) + " " + std::string(what),
              "use the probe of this version of Gyges, and its output as it stands");
}

}  // namespace

const Observation* Reading::find(const std::string& channel) const {
  auto found = observations.find(channel);
  return found == observations.end() ? nullptr : &found->second;
}

Result<Reading> parse_reading(std::string_view text, std::string_view source) {
  if (text.size() > max_reading_bytes)
    return malformed(source, 1, "begins a text that is too long");
  Reading reading;
  bool begun = false;
  std::size_t count = 0;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::size_t length = text.find('\n');
    std::string_view bytes = text.substr(0, length);
    text.remove_prefix(length == std::string_view::npos ? text.size() : length + 1);
    if (bytes.size() > max_line) return malformed(source, number, "is too long");
    // The form has one level: a text that nests deeper is refused by what follows.
    json line = json::parse(bytes, nullptr, false);
    if (!line.is_object()) return malformed(source, number, "is no JSON object");
    if (!begun) {
      const std::string* name = text_of(line, "probe");
      if (name == nullptr || *name != "gyges" || line.value("version", json()) != 1)
        return malformed(source, number, "is not the first line of a probe's output");
      begun = true;
      continue;
    }
    if (line.contains("end")) {
      if (line["end"] != count)
        return malformed(source, number, "counts other observations than there are");
      if (line.contains("microseconds") && line["microseconds"].is_number_unsigned())
        reading.microseconds = line["microseconds"].get<std::uint64_t>();
      if (!text.empty()) return malformed(source, number + 1, "stands behind the end");
      return reading;
    }
    const std::string* channel = text_of(line, "channel");
    const std::string* how = text_of(line, "how");
    const std::string* kind = text_of(line, "class");
    const std::string* value = text_of(line, "value");
    const std::string* error = text_of(line, "error");
    if (channel == nullptr || how == nullptr || kind == nullptr ||
        (value == nullptr) == (error == nullptr) || line.size() != 4 || !is_channel(*channel))
      return malformed(source, number, "is no observation");
    if (++count > max_observations) return malformed(source, number, "is one observation too many");
    Observation observation;
    observation.kind = *kind == "fact"       ? Observation::Kind::fact
                       : *kind == "volatile" ? Observation::Kind::changing
                                             : Observation::Kind::timing;
    observation.how = *how;
    if (value != nullptr) observation.value = *value;
    if (error != nullptr) observation.error = error->empty() ? "error" : *error;
    auto [at, fresh] = reading.observations.try_emplace(*channel, observation);
    if (!fresh) {
      at->second.value = at->second.shown() + " | " + observation.shown();
      at->second.error.clear();
    }
  }
  return malformed(source, count + 1, "is missing: the output ends early");
}

}  // namespace gyges::cues
