// Zip files put together byte by byte after APPNOTE.TXT, so that readers are not tested with our
// own writer alone.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gyges::analysis {

struct HandMadeMember {
  std::string name;
  std::string bytes;
  std::uint16_t method = 0;  // 0 stored, 8 deflated, 93 zstd, anything else: stored under that name
  std::uint32_t crc_error = 0;  // added to the checksum
  std::uint16_t flags = 0;
  std::uint32_t claimed_size = 0;  // in the directory; 0: the true one
};

inline void put(std::string& to, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i, value >>= 8) to += static_cast<char>(value);
}

inline std::string packed_member(const HandMadeMember& member) {
  if (member.method == 93) {
    std::string packed(ZSTD_compressBound(member.bytes.size()), '\0');
    packed.resize(
        ZSTD_compress(packed.data(), packed.size(), member.bytes.data(), member.bytes.size(), 3));
    return packed;
  }
  if (member.method == 8) {
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    std::string packed(deflateBound(&stream, member.bytes.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(member.bytes.data()));
    stream.avail_in = static_cast<uInt>(member.bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    return packed;
  }
  return member.bytes;
}

inline std::string hand_made_zip(const std::vector<HandMadeMember>& members) {
  std::string zip;
  std::string directory;
  for (const HandMadeMember& member : members) {
    std::string packed = packed_member(member);
    std::uint32_t crc =
        static_cast<std::uint32_t>(
            crc32_z(0, reinterpret_cast<const Bytef*>(member.bytes.data()), member.bytes.size())) +
        member.crc_error;
    std::size_t size = member.claimed_size != 0 ? member.claimed_size : member.bytes.size();
    std::size_t offset = zip.size();
    std::string common;
    put(common, 20, 2);
    put(common, member.flags, 2);
    put(common, member.method, 2);
    put(common, 0, 4);
    put(common, crc, 4);
    put(common, packed.size(), 4);
    put(common, size, 4);
    put(common, member.name.size(), 2);
    put(common, 0, 2);
    put(zip, 0x04034b50, 4);
    zip += common + member.name + packed;
    put(directory, 0x02014b50, 4);
    put(directory, 20, 2);
    directory += common;
    put(directory, 0, 2 + 2 + 2 + 4);
    put(directory, offset, 4);
    directory += member.name;
  }
  std::size_t start = zip.size();
  zip += directory;
  put(zip, 0x06054b50, 4);
  put(zip, 0, 4);
  put(zip, members.size(), 2);
  put(zip, members.size(), 2);
  put(zip, directory.size(), 4);
  put(zip, start, 4);
  put(zip, 0, 2);
  return zip;
}

}  // namespace gyges::analysis
