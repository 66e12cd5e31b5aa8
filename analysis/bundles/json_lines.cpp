#include "analysis/bundles/json_lines.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/json_document.h"
#include "base/regular_file.h"

namespace gyges::analysis {

Status for_each_json_line(const std::filesystem::path& file,
                          const std::function<Status(const nlohmann::json&)>& take) {
  GYGES_TRY(UniqueFd fd, open_regular_file(file));
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(::fdopen(fd.get(), "r"), std::fclose);
  if (!stream) return fail_errno("read", file.string());
  (void)fd.release();
  std::string line;
  std::string buffer(64U << 10U, '\0');
  std::uint64_t number = 0;
  auto take_line = [&]() -> Status {
    std::string source = file.string() + " line " + std::to_string(++number);
    GYGES_TRY(nlohmann::json value, parse_json(line, source));
    if (!value.is_object()) return fail("read", source, "is not a JSON object");
    Status taken = take(value);
    if (!taken) return fail("read", source, taken.error().line());
    line.clear();
    return ok();
  };
  while (std::size_t got = std::fread(buffer.data(), 1, buffer.size(), stream.get())) {
    std::string_view rest(buffer.data(), got);
    while (!rest.empty()) {
      std::size_t end = rest.find('\n');
      line.append(rest.substr(0, end));
      if (line.size() > max_json_line_bytes)
        return fail("read", file.string() + " line " + std::to_string(number + 1),
                    "is longer than 16 MiB");
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
      GYGES_CHECK(take_line());
    }
  }
  if (std::ferror(stream.get()) != 0) return fail_errno("read", file.string());
  if (!line.empty()) GYGES_CHECK(take_line());
  return ok();
}

std::string text_member(const nlohmann::json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t integer_member(const nlohmann::json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

}  // namespace gyges::analysis
