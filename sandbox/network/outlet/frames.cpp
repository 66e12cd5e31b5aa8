#include "sandbox/network/outlet/frames.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace gyges::network {
namespace {

constexpr std::size_t head_bytes = 13;
constexpr std::size_t most_strings = 256;

void append_string(std::string& out, std::string_view text) {
  auto size = static_cast<std::uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  out += text;
}

tl::unexpected<Error> malformed(std::string_view what) {
  return fail("read exchange", "", what, "report this as a defect");
}

Result<std::vector<std::string_view>> strings_in(std::string_view bytes) {
  std::vector<std::string_view> strings;
  while (!bytes.empty()) {
    std::uint32_t size = 0;
    if (bytes.size() < sizeof(size) || strings.size() == most_strings)
      return malformed("its head is damaged");
    std::memcpy(&size, bytes.data(), sizeof(size));
    bytes.remove_prefix(sizeof(size));
    if (size > bytes.size()) return malformed("its head is cut short");
    strings.push_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return strings;
}

std::optional<int> number_in(std::string_view text, int least, int most) {
  int value = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value < least || value > most ? std::nullopt : std::optional(value);
}

void append_fields(std::string& out, const HeaderFields& fields) {
  for (const auto& [name, value] : fields) {
    append_string(out, name);
    append_string(out, value);
  }
}

HeaderFields fields_from(const std::vector<std::string_view>& strings, std::size_t first) {
  HeaderFields fields;
  for (std::size_t i = first; i + 1 < strings.size(); i += 2)
    fields.emplace_back(strings[i], strings[i + 1]);
  return fields;
}

}  // namespace

void append_frame(std::string& out, FrameKind kind, std::uint64_t exchange,
                  std::string_view bytes) {
  char head[head_bytes];
  auto size = static_cast<std::uint32_t>(bytes.size());
  head[0] = static_cast<char>(kind);
  std::memcpy(head + 1, &exchange, sizeof(exchange));
  std::memcpy(head + 9, &size, sizeof(size));
  out.append(head, head_bytes);
  out += bytes;
}

void append_body(std::string& out, std::uint64_t exchange, std::string_view bytes) {
  while (!bytes.empty()) {
    std::string_view piece = bytes.substr(0, most_body_piece);
    append_frame(out, FrameKind::body, exchange, piece);
    bytes.remove_prefix(piece.size());
  }
}

void FrameReader::feed(std::string_view bytes) {
  held_.erase(0, used_);
  used_ = 0;
  held_ += bytes;
}

Result<std::optional<Frame>> FrameReader::next() {
  std::string_view rest = std::string_view(held_).substr(used_);
  if (rest.size() < head_bytes) return std::optional<Frame>();
  Frame frame;
  auto kind = static_cast<std::uint8_t>(rest[0]);
  if (kind < static_cast<std::uint8_t>(FrameKind::head) ||
      kind > static_cast<std::uint8_t>(FrameKind::more))
    return malformed("a frame is of no known kind");
  frame.kind = static_cast<FrameKind>(kind);
  std::uint32_t size = 0;
  std::memcpy(&frame.exchange, rest.data() + 1, sizeof(frame.exchange));
  std::memcpy(&size, rest.data() + 9, sizeof(size));
  if (size > most_frame_bytes) return malformed("a frame is too long");
  if (rest.size() < head_bytes + size) return std::optional<Frame>();
  frame.bytes = rest.substr(head_bytes, size);
  used_ += head_bytes + size;
  return std::optional(frame);
}

std::string encode_more(std::size_t bytes) {
  auto count = static_cast<std::uint32_t>(std::min(bytes, answer_window));
  return {reinterpret_cast<const char*>(&count), sizeof(count)};
}

Result<std::size_t> decode_more(std::string_view bytes) {
  std::uint32_t count = 0;
  if (bytes.size() != sizeof(count)) return malformed("a window has no size");
  std::memcpy(&count, bytes.data(), sizeof(count));
  return count;
}

std::string encode_request(const OutletRequest& request) {
  std::string out;
  append_string(out, request.tls ? "https" : "http");
  append_string(out, request.method);
  append_string(out, request.host);
  append_string(out, std::to_string(request.port));
  append_string(out, request.target);
  append_fields(out, request.headers);
  return out;
}

Result<OutletRequest> decode_request(std::string_view bytes) {
  GYGES_TRY(auto strings, strings_in(bytes));
  if (strings.size() < 5 || strings.size() % 2 == 0) return malformed("a request lacks parts");
  OutletRequest request;
  if (strings[0] != "https" && strings[0] != "http") return malformed("a request has no scheme");
  request.tls = strings[0] == "https";
  request.method = strings[1];
  request.host = strings[2];
  auto port = number_in(strings[3], 0, 65535);
  if (!port) return malformed("a request names no port");
  request.port = static_cast<std::uint16_t>(*port);
  request.target = strings[4];
  request.headers = fields_from(strings, 5);
  return request;
}

std::string encode_response(const OutletResponse& response) {
  std::string out;
  append_string(out, std::to_string(response.status));
  append_fields(out, response.headers);
  return out;
}

Result<OutletResponse> decode_response(std::string_view bytes) {
  GYGES_TRY(auto strings, strings_in(bytes));
  if (strings.empty() || strings.size() % 2 == 0) return malformed("a response lacks parts");
  auto status = number_in(strings[0], 200, 599);
  if (!status) return malformed("a response has no status");
  return OutletResponse{*status, fields_from(strings, 1)};
}

}  // namespace gyges::network
