#include "sandbox/network/dns/message.h"

#include <algorithm>
#include <charconv>

#include "sandbox/network/dns/wire.h"

namespace gyges::network::dns {
namespace {

constexpr std::uint16_t class_in = 1;
constexpr std::uint16_t flag_response = 0x8000;
constexpr std::uint16_t flag_authoritative = 0x0400;
constexpr std::uint16_t flag_truncated = 0x0200;
constexpr std::uint16_t flag_recursion_desired = 0x0100;
constexpr std::uint16_t flag_recursion_available = 0x0080;
constexpr std::uint16_t opcode_mask = 0x7800;
constexpr std::uint8_t rcode_bad_version = 16;  // needs the eight upper bits in OPT

bool has_one_name(std::uint16_t type) {
  return type == static_cast<std::uint16_t>(Type::ns) ||
         type == static_cast<std::uint16_t>(Type::cname) ||
         type == static_cast<std::uint16_t>(Type::ptr);
}

// Names in record data are the only part that depends on the rest of the message.
bool read_data(std::string_view message, std::size_t at, std::uint16_t type, std::string_view raw,
               std::string& data) {
  std::size_t names = 0;
  std::size_t before = 0;
  if (has_one_name(type)) names = 1;
  if (type == static_cast<std::uint16_t>(Type::soa)) names = 2;
  if (type == static_cast<std::uint16_t>(Type::mx)) names = 1, before = 2;
  if (names == 0) {
    data = raw;
    return true;
  }
  if (raw.size() < before) return false;
  data = raw.substr(0, before);
  // Up to the end of the data only, so that a name cannot run into the next record.
  WireReader reader(message.substr(0, at + raw.size()), at + before);
  std::string wire;
  for (; names > 0; --names) {
    if (!reader.raw_name(wire)) return false;
    data += wire;
  }
  data += message.substr(reader.at(), at + raw.size() - reader.at());
  return true;
}

bool read_record(WireReader& reader, std::string_view message, Record& record) {
  std::uint16_t length = 0;
  std::string_view raw;
  if (!reader.name(record.name, true) || !reader.u16(record.type) || !reader.u16(record.klass) ||
      !reader.u32(record.ttl) || !reader.u16(length))
    return false;
  std::size_t at = reader.at();
  if (!reader.bytes(length, raw)) return false;
  return read_data(message, at, record.type, raw, record.data);
}

Edns edns_of(const Record& record) {
  Edns edns;
  edns.udp_size = std::max<std::uint16_t>(record.klass, plain_udp_limit);
  edns.version = static_cast<std::uint8_t>(record.ttl >> 16U);
  edns.dnssec_ok = (record.ttl & 0x8000U) != 0;
  return edns;
}

void put_header(std::string& out, std::uint16_t id, std::uint16_t flags, std::size_t questions) {
  put_u16(out, id);
  put_u16(out, flags);
  put_u16(out, static_cast<std::uint16_t>(questions));
  put_u16(out, 0);
  put_u16(out, 0);
  put_u16(out, 0);
}

void set_count(std::string& out, std::size_t at, std::size_t count) {
  out[at] = static_cast<char>(count >> 8U);
  out[at + 1] = static_cast<char>(count & 0xffU);
}

void put_edns(std::string& out, const Edns& asked, std::uint8_t extended_rcode) {
  out += '\0';
  put_u16(out, static_cast<std::uint16_t>(Type::opt));
  put_u16(out, edns_udp_limit);
  put_u32(out,
          static_cast<std::uint32_t>(extended_rcode) << 24U | (asked.dnssec_ok ? 0x8000U : 0U));
  put_u16(out, 0);
}

// The owner's name is a pointer to the question where they are the same.
bool put_record(std::string& out, const Record& record, const Question& question) {
  if (record.name == question.name && record.name != ".") {
    put_u16(out, 0xc000U | header_bytes);
  } else {
    auto name = encode_name(record.name);
    if (!name) return false;
    out += *name;
  }
  put_u16(out, record.type);
  put_u16(out, record.klass);
  put_u32(out, record.ttl);
  put_u16(out, static_cast<std::uint16_t>(record.data.size()));
  out += record.data;
  return true;
}

// How many records were written whole.
std::size_t put_section(std::string& out, const std::vector<Record>& records,
                        const Question& question, std::size_t limit) {
  std::size_t count = 0;
  for (const Record& record : records) {
    std::size_t before = out.size();
    if (!put_record(out, record, question) || out.size() > limit) {
      out.resize(before);
      break;
    }
    ++count;
  }
  return count;
}

}  // namespace

QueryFault parse_query(std::string_view packet, Query& query) {
  if (packet.size() < header_bytes) return QueryFault::ignore;
  WireReader reader(packet, 0);
  std::uint16_t flags = 0;
  std::uint16_t counts[4] = {};
  if (!reader.u16(query.id) || !reader.u16(flags)) return QueryFault::ignore;
  for (std::uint16_t& count : counts)
    if (!reader.u16(count)) return QueryFault::ignore;
  if ((flags & flag_response) != 0) return QueryFault::ignore;
  query.recursion_desired = (flags & flag_recursion_desired) != 0;
  query.packet_bytes = packet.size();
  query.edns.reset();
  if ((flags & opcode_mask) != 0) return QueryFault::not_implemented;
  if (counts[0] != 1 || counts[1] != 0 || counts[2] != 0) return QueryFault::format_error;
  if (!reader.name(query.question.name, false) || !reader.u16(query.question.type) ||
      !reader.u16(query.question.klass))
    return QueryFault::format_error;
  query.question_bytes = packet.substr(header_bytes, reader.at() - header_bytes);
  Record record;
  for (unsigned i = 0; i < counts[3]; ++i) {
    if (!read_record(reader, packet, record)) return QueryFault::format_error;
    if (record.type != static_cast<std::uint16_t>(Type::opt)) continue;
    if (query.edns || record.name != ".") return QueryFault::format_error;
    query.edns = edns_of(record);
  }
  if (!reader.at_end()) return QueryFault::format_error;
  if (query.edns && query.edns->version > 0) return QueryFault::bad_version;
  return QueryFault::none;
}

std::optional<Message> parse_message(std::string_view bytes) {
  if (bytes.size() < header_bytes || bytes.size() > longest_message) return std::nullopt;
  WireReader reader(bytes, 0);
  Message message;
  std::uint16_t counts[4] = {};
  if (!reader.u16(message.id) || !reader.u16(message.flags)) return std::nullopt;
  for (std::uint16_t& count : counts)
    if (!reader.u16(count)) return std::nullopt;
  for (unsigned i = 0; i < counts[0]; ++i) {
    Question question;
    if (!reader.name(question.name, true) || !reader.u16(question.type) ||
        !reader.u16(question.klass))
      return std::nullopt;
    message.questions.push_back(std::move(question));
  }
  std::vector<Record>* sections[] = {&message.answers, &message.authority, &message.additional};
  for (int section = 0; section < 3; ++section) {
    for (unsigned i = 0; i < counts[section + 1]; ++i) {
      Record record;
      if (!read_record(reader, bytes, record)) return std::nullopt;
      if (section == 2 && record.type == static_cast<std::uint16_t>(Type::opt)) {
        if (message.edns || record.name != ".") return std::nullopt;
        message.edns = edns_of(record);
        continue;
      }
      sections[section]->push_back(std::move(record));
    }
  }
  if (!reader.at_end()) return std::nullopt;
  return message;
}

std::string write_response(const Query& query, const Answer& answer, std::size_t limit) {
  std::string out;
  out.reserve(std::min<std::size_t>(limit, 512));
  std::uint16_t flags = flag_response | flag_recursion_available;
  if (query.recursion_desired) flags |= flag_recursion_desired;
  if (answer.authoritative) flags |= flag_authoritative;
  flags |= static_cast<std::uint16_t>(answer.rcode);
  put_header(out, query.id, flags, 1);
  out += query.question_bytes;
  std::size_t room = limit - std::min(limit, query.edns ? std::size_t{11} : std::size_t{0});
  std::size_t answers = put_section(out, answer.answers, query.question, room);
  std::size_t authority = 0;
  bool truncated = answers < answer.answers.size();
  if (!truncated) {
    authority = put_section(out, answer.authority, query.question, room);
    truncated = authority < answer.authority.size();
  }
  set_count(out, 6, answers);
  set_count(out, 8, authority);
  if (query.edns) {
    put_edns(out, *query.edns, 0);
    set_count(out, 10, 1);
  }
  if (truncated) set_count(out, 2, flags | flag_truncated);
  return out;
}

std::optional<std::string> write_fault(std::string_view packet, QueryFault fault) {
  if (fault == QueryFault::none || fault == QueryFault::ignore || packet.size() < header_bytes)
    return std::nullopt;
  WireReader reader(packet, 0);
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  if (!reader.u16(id) || !reader.u16(flags)) return std::nullopt;
  Rcode rcode = Rcode::format_error;
  if (fault == QueryFault::not_implemented) rcode = Rcode::not_implemented;
  if (fault == QueryFault::bad_version) rcode = Rcode::no_error;
  std::string out;
  put_header(
      out, id,
      static_cast<std::uint16_t>(flag_response | (flags & (opcode_mask | flag_recursion_desired)) |
                                 static_cast<std::uint16_t>(rcode)),
      0);
  if (fault == QueryFault::bad_version) {
    put_edns(out, {}, rcode_bad_version >> 4U);
    set_count(out, 10, 1);
  }
  return out;
}

std::size_t udp_limit(const Query& query) {
  if (!query.edns) return plain_udp_limit;
  return std::clamp<std::size_t>(query.edns->udp_size, plain_udp_limit, edns_udp_limit);
}

std::optional<std::string> write_query(std::uint16_t id, std::string_view name, Type type) {
  auto wire = encode_name(name);
  if (!wire) return std::nullopt;
  std::string out;
  put_header(out, id, flag_recursion_desired, 1);
  out += *wire;
  put_u16(out, static_cast<std::uint16_t>(type));
  put_u16(out, class_in);
  put_edns(out, {}, 0);
  set_count(out, 10, 1);
  return out;
}

bool StreamFramer::ready() const {
  if (buffer_.size() < 2) return false;
  std::size_t length = static_cast<std::size_t>(static_cast<std::uint8_t>(buffer_[0])) << 8U |
                       static_cast<std::uint8_t>(buffer_[1]);
  return buffer_.size() == length + 2;
}

bool StreamFramer::take(std::string_view& bytes) {
  if (buffer_.size() < 2) {
    std::size_t count = std::min<std::size_t>(2 - buffer_.size(), bytes.size());
    buffer_ += bytes.substr(0, count);
    bytes.remove_prefix(count);
    if (buffer_.size() < 2) return true;
  }
  std::size_t length = static_cast<std::size_t>(static_cast<std::uint8_t>(buffer_[0])) << 8U |
                       static_cast<std::uint8_t>(buffer_[1]);
  if (length < header_bytes) return false;
  std::size_t count = std::min(length + 2 - buffer_.size(), bytes.size());
  buffer_ += bytes.substr(0, count);
  bytes.remove_prefix(count);
  return true;
}

std::string StreamFramer::frame(std::string_view message) {
  std::string out;
  put_u16(out, static_cast<std::uint16_t>(std::min(message.size(), longest_message)));
  out += message.substr(0, longest_message);
  return out;
}

}  // namespace gyges::network::dns
