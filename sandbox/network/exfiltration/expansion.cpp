#include "sandbox/network/exfiltration/expansion.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <optional>

namespace gyges::network {
namespace {

constexpr std::uint64_t most_output = 16U << 20U;
constexpr unsigned zstd_window_log = 18;
// Attempts at decompression of one stream: what looks like a header in other data fails at once,
// and there is no end of them in a large upload.
constexpr unsigned most_attempts = 4096;
constexpr std::size_t longest_magic = 4;
constexpr std::size_t most_guess = 2048;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Of either alphabet; -1: none.
int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

struct Magic {
  std::string_view bytes;
  const char* format;
  int window_bits;  // of inflateInit2; 0: zstd
};
using namespace std::string_view_literals;
// A member of a zip archive: 30 bytes, then its name and an extra field, then raw deflate.
constexpr Magic zip_member = {"PK\x03\x04"sv, "zip", -15};
constexpr std::size_t zip_head = 30;
constexpr std::size_t zip_lengths = 26;
constexpr Magic magics[] = {
    zip_member,
    {"\x1f\x8b\x08"sv, "gzip", 15 + 16},
    {"\x28\xb5\x2f\xfd"sv, "zstd", 0},
    {"\x78\x01"sv, "zlib", 15},
    {"\x78\x5e"sv, "zlib", 15},
    {"\x78\x9c"sv, "zlib", 15},
    {"\x78\xda"sv, "zlib", 15},
};

const Magic* find_magic(std::string_view bytes, std::size_t& at) {
  for (at = 0; at < bytes.size(); ++at) {
    char c = bytes[at];
    if (c != '\x1f' && c != '\x28' && c != '\x78' && c != 'P') continue;
    for (const Magic& magic : magics)
      if (bytes.substr(at).starts_with(magic.bytes)) return &magic;
  }
  return nullptr;
}

class Unpacker {
 public:
  Unpacker(const char* format, int window_bits) : format_(format), window_bits_(window_bits) {
    if (window_bits_ != 0) {
      good_ = ::inflateInit2(&inflate_, window_bits_) == Z_OK;
    } else {
      zstd_ = ::ZSTD_createDStream();
      good_ = zstd_ != nullptr &&
              ::ZSTD_isError(::ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax,
                                                      static_cast<int>(zstd_window_log))) == 0;
    }
  }
  ~Unpacker() {
    if (window_bits_ != 0) ::inflateEnd(&inflate_);
    ::ZSTD_freeDStream(zstd_);
  }
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  // Bytes used; `done` when the data ended or was none.
  std::size_t feed(std::string_view bytes, std::uint64_t& room, bool& done,
                   const Decompressor::Output& output) {
    std::size_t used = 0;
    char buffer[16384];
    while (good_ && room > 0) {
      std::size_t produced = 0;
      bool ended = false;
      std::size_t taken = step(bytes.substr(used), buffer, sizeof buffer, produced, ended);
      used += taken;
      produced = static_cast<std::size_t>(std::min<std::uint64_t>(produced, room));
      room -= produced;
      if (produced > 0) output(format_, {buffer, produced});
      if (ended || !good_) {
        done = true;
        return used;
      }
      if (produced < sizeof buffer && used == bytes.size()) return used;
      if (taken == 0 && produced == 0) return bytes.size();
    }
    done = true;
    return used;
  }

 private:
  std::size_t step(std::string_view bytes, char* buffer, std::size_t size, std::size_t& produced,
                   bool& ended) {
    if (window_bits_ != 0) {
      inflate_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      inflate_.avail_in = static_cast<uInt>(bytes.size());
      inflate_.next_out = reinterpret_cast<Bytef*>(buffer);
      inflate_.avail_out = static_cast<uInt>(size);
      int code = ::inflate(&inflate_, Z_NO_FLUSH);
      produced = size - inflate_.avail_out;
      ended = code == Z_STREAM_END;
      good_ = code == Z_OK || code == Z_BUF_ERROR || ended;
      return bytes.size() - inflate_.avail_in;
    }
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    ZSTD_outBuffer out{buffer, size, 0};
    std::size_t code = ::ZSTD_decompressStream(zstd_, &out, &in);
    produced = out.pos;
    ended = code == 0;
    good_ = ::ZSTD_isError(code) == 0;
    return in.pos;
  }

  const char* format_;
  int window_bits_;
  bool good_ = false;
  z_stream inflate_{};
  ZSTD_DStream* zstd_ = nullptr;
};

}  // namespace

bool is_packed(std::string_view bytes) {
  return std::any_of(std::begin(magics), std::end(magics),
                     [bytes](const Magic& magic) { return bytes.starts_with(magic.bytes); });
}

std::string PercentDecoder::feed(std::string_view bytes) {
  if (!active_ && bytes.find('%') == std::string_view::npos) return {};
  active_ = true;
  std::string text = std::move(held_) + std::string(bytes);
  held_.clear();
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (text.size() - i < 3) {
      held_ = text.substr(i);
      break;
    }
    int high = digit(text[i + 1]);
    int low = digit(text[i + 2]);
    if (high < 0 || low < 0) {
      out += '%';
      continue;
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string Squeezer::feed(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    char c = bytes[i];
    switch (state_) {
      case State::zero:  // at the beginning of a word
        state_ = State::inside;
        if (c == 'x' || c == 'X') continue;
        out += '0';
        break;
      case State::escape:
        state_ = c == 'u' ? State::unicode : State::between;
        if (c == 'u' || c == 'x' || c == 'n' || c == 'r' || c == 't') continue;
        break;
      case State::unicode:
      case State::unicode_zero:
        if (c == '0') {
          state_ = state_ == State::unicode ? State::unicode_zero : State::inside;
          continue;
        }
        break;
      case State::inside:
      case State::between:
        break;
    }
    if (c == '\\') {
      state_ = State::escape;
    } else if (base64_digit(c) < 0) {
      state_ = State::between;
    } else if (c == '0' && state_ == State::between) {
      state_ = State::zero;
    } else {
      state_ = State::inside;
      out += c;
    }
  }
  return out;
}

void Base64Runs::feed(std::string_view bytes, const Output& run) {
  std::string out;
  bool first = false;
  auto digit_in = [&](int value) {
    bits_ = bits_ << 6U | static_cast<std::uint32_t>(value);
    if (++count_ < 4) return;
    for (unsigned shift : {16U, 8U, 0U}) out += static_cast<char>(bits_ >> shift);
    bits_ = count_ = 0;
  };
  auto end_run = [&] {
    // The last one or two bytes of a run whose length is no multiple of four.
    if (running_ && count_ > 1) {
      bits_ <<= 6U * (4 - count_);
      out += static_cast<char>(bits_ >> 16U);
      if (count_ == 3) out += static_cast<char>(bits_ >> 8U);
    }
    if (!out.empty()) run(out, first);
    out.clear();
    held_.clear();
    bits_ = count_ = 0;
    running_ = first = false;
  };
  for (char c : bytes) {
    if (escape_) {
      escape_ = false;
      if (c == 'n' || c == 'r') continue;
      end_run();
    }
    if (c == '\r' || c == '\n') continue;
    if (c == '\\') {
      escape_ = true;
      continue;
    }
    int value = base64_digit(c);
    if (value < 0) {
      if (running_ || !held_.empty()) end_run();
      continue;
    }
    if (running_) {
      digit_in(value);
      continue;
    }
    held_ += c;
    if (held_.size() < shortest_run) continue;
    running_ = first = true;
    for (char earlier : held_) digit_in(base64_digit(earlier));
    held_.clear();
  }
  if (!out.empty()) run(out, first);
}

struct Decompressor::State {
  std::optional<Unpacker> unpacker;
  std::string held;      // the end of a piece, which may be the start of a magic number
  std::size_t skip = 0;  // bytes of the name of a zip member
  bool started = false;
  std::uint64_t room = most_output;
  unsigned attempts = 0;
  bool raw = false;   // the running one is the guess at raw deflate
  std::string guess;  // what it took of earlier pieces, to be read again where it was none
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

void Decompressor::feed(std::string_view bytes, const Output& output) {
  State& state = *state_;
  if (state.room == 0 || state.attempts >= most_attempts) return;
  std::string joined;
  if (!state.held.empty()) {
    joined = std::move(state.held) + std::string(bytes);
    state.held.clear();
    bytes = joined;
  }
  if (!state.started && bytes.size() < longest_magic) {
    state.held = bytes;
    return;
  }
  while (!bytes.empty() && state.room > 0 && state.attempts < most_attempts) {
    if (state.skip > 0) {
      std::size_t skipped = std::min(state.skip, bytes.size());
      state.skip -= skipped;
      bytes.remove_prefix(skipped);
      continue;
    }
    if (state.unpacker) {
      bool done = false;
      std::size_t used = state.unpacker->feed(bytes, state.room, done, output);
      if (!done) {
        if (state.raw && state.guess.size() < most_guess) state.guess += bytes;
        return;
      }
      state.unpacker.reset();
      if (state.raw) {  // a wrong guess shows soon
        state.raw = false;
        if (!state.guess.empty() && state.guess.size() < most_guess) {
          joined = state.guess + std::string(bytes);
          bytes = joined;
        }
        state.guess = {};
        continue;
      }
      // At least a byte is behind us.
      used = std::max<std::size_t>(used, 1);
      bytes.remove_prefix(std::min(used, bytes.size()));
      continue;
    }
    std::size_t at = 0;
    const Magic* magic = find_magic(bytes, at);
    if (!state.started) {
      state.started = true;
      if (magic == nullptr || at != 0) {
        ++state.attempts;
        state.raw = true;
        state.unpacker.emplace("deflate", -15);
        continue;
      }
    }
    if (magic == nullptr) {
      std::size_t keep = std::min(bytes.size(), longest_magic - 1);
      state.held = bytes.substr(bytes.size() - keep);
      return;
    }
    if (magic->bytes == zip_member.bytes) {
      std::string_view head = bytes.substr(at);
      if (head.size() < zip_head) {
        state.held = head;
        return;
      }
      auto number = [head](std::size_t place) {
        return static_cast<std::size_t>(static_cast<std::uint8_t>(head[place])) |
               static_cast<std::size_t>(static_cast<std::uint8_t>(head[place + 1])) << 8U;
      };
      state.skip = number(zip_lengths) + number(zip_lengths + 2);
      at += zip_head;
    }
    ++state.attempts;
    bytes.remove_prefix(at);
    state.unpacker.emplace(magic->format, magic->window_bits);
  }
}

}  // namespace gyges::network
