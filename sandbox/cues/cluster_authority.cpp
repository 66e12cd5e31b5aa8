#include "sandbox/cues/cluster_authority.h"

#include <openssl/bn.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "base/crypto.h"
#include "base/hash.h"
#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/cues/text_template.h"

namespace gyges::cues {
namespace {

// To find primes would take a tenth of a second for each run. Two of so many make 32640 keys.
constexpr char primes_in_a_row[] =
#include "sandbox/cues/cluster_primes.inc"
    ;
constexpr std::size_t prime_bytes = 128;
constexpr std::size_t prime_count = 256;
static_assert(sizeof primes_in_a_row == prime_count * prime_bytes + 1);

std::string_view cluster_prime(std::size_t index) {
  return {primes_in_a_row + index * prime_bytes, prime_bytes};
}

constexpr std::size_t key_bytes = 2 * prime_bytes;
constexpr unsigned public_exponent = 65537;

struct FreeNumber {
  void operator()(BIGNUM* number) const { ::BN_free(number); }
  void operator()(BN_CTX* context) const { ::BN_CTX_free(context); }
};
using Number = std::unique_ptr<BIGNUM, FreeNumber>;

Number number_of(std::string_view bytes) {
  return Number(::BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                            static_cast<int>(bytes.size()), nullptr));
}

std::string bytes_of(const Number& number, std::size_t size) {
  std::string bytes(size, '\0');
  const int written = ::BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(bytes.data()),
                                     static_cast<int>(size));
  return written < 0 ? std::string() : bytes;
}

std::string from_digits(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  return bytes;
}

// A key of two primes, as far as a signature needs it (RFC 8017, section 5.1.2).
class ClusterKey {
 public:
  ClusterKey(std::string_view p, std::string_view q)
      : context_(::BN_CTX_new()), p_(number_of(p)), q_(number_of(q)) {}

  [[nodiscard]] std::string modulus() const {
    const Number n(::BN_new());
    if (!ready() || !n || ::BN_mul(n.get(), p_.get(), q_.get(), context_.get()) != 1) return {};
    return bytes_of(n, key_bytes);
  }

  // Empty where memory ended.
  [[nodiscard]] std::string sign(const std::string& message) const {
    const Number m = number_of(message);
    if (!ready() || !m) return {};
    const Number by_p = power(m, p_);
    const Number by_q = power(m, q_);
    const Number inverse(::BN_mod_inverse(nullptr, q_.get(), p_.get(), context_.get()));
    const Number h(::BN_new());
    if (!by_p || !by_q || !inverse || !h || ::BN_sub(h.get(), by_p.get(), by_q.get()) != 1 ||
        ::BN_mul(h.get(), h.get(), inverse.get(), context_.get()) != 1 ||
        ::BN_nnmod(h.get(), h.get(), p_.get(), context_.get()) != 1 ||
        ::BN_mul(h.get(), h.get(), q_.get(), context_.get()) != 1 ||
        ::BN_add(h.get(), h.get(), by_q.get()) != 1)
      return {};
    return bytes_of(h, key_bytes);
  }

 private:
  [[nodiscard]] bool ready() const { return context_ && p_ && q_; }

  // To the private exponent of that prime.
  [[nodiscard]] Number power(const Number& message, const Number& prime) const {
    Number less(::BN_dup(prime.get()));
    Number exponent(::BN_new());
    if (!less || !exponent || ::BN_sub_word(less.get(), 1) != 1 ||
        ::BN_add_word(exponent.get(), public_exponent) != 1 ||
        ::BN_mod_inverse(exponent.get(), exponent.get(), less.get(), context_.get()) == nullptr ||
        ::BN_mod_exp(less.get(), message.get(), exponent.get(), prime.get(), context_.get()) != 1)
      return nullptr;
    return less;
  }

  std::unique_ptr<BN_CTX, FreeNumber> context_;
  Number p_, q_;
};

// X.690: kind, length, content.
std::string tagged(unsigned kind, const std::string& content) {
  std::string text(1, static_cast<char>(kind));
  if (content.size() < 128) {
    text += static_cast<char>(content.size());
  } else if (content.size() < 256) {
    text += '\x81';
    text += static_cast<char>(content.size());
  } else {
    text += '\x82';
    text += static_cast<char>(content.size() >> 8U);
    text += static_cast<char>(content.size() & 0xffU);
  }
  return text + content;
}

std::string sequence(const std::string& content) {
  return tagged(0x30, content);
}

std::string whole(const std::string& bytes) {
  const bool negative = (static_cast<unsigned char>(bytes[0]) & 0x80U) != 0;
  return tagged(0x02, (negative ? std::string(1, '\0') : std::string()) + bytes);
}

// RFC 5280: of two digits of the year until 2049.
std::string time_of(std::int64_t seconds) {
  const std::string year = format_time(seconds, "%Y");
  return year < "2050" ? tagged(0x17, format_time(seconds, "%y%m%d%H%M%SZ"))
                       : tagged(0x18, format_time(seconds, "%Y%m%d%H%M%SZ"));
}

// As Go's encoding/asn1, in which authorities of clusters are written: a PrintableString where its
// letters allow.
std::string text_of(const std::string& text) {
  static constexpr std::string_view others = " '()+,-./:=?";
  const bool printable = std::all_of(text.begin(), text.end(), [](char one) {
    return (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') || (one >= '0' && one <= '9') ||
           others.find(one) != std::string_view::npos;
  });
  return tagged(printable ? 0x13 : 0x0c, text);
}

// id-ce `last`.
std::string extension(char last, bool critical, const std::string& content) {
  return sequence(tagged(0x06, std::string("\x55\x1d") + last) +
                  (critical ? std::string("\x01\x01\xff", 3) : "") + tagged(0x04, content));
}

// Key usages digital signature, key encipherment, certificate sign; an authority; the number of its
// key; its one name.
std::string extensions(const std::string& key, const std::string& name) {
  const Sha1 hash = sha1(key);
  return tagged(
      0xa3, sequence(extension('\x0f', true, std::string("\x03\x02\x02\xa4", 4)) +
                     extension('\x13', true, std::string("\x30\x03\x01\x01\xff", 5)) +
                     extension('\x0e', false, tagged(0x04, std::string(hash.begin(), hash.end()))) +
                     extension('\x11', false, sequence(tagged(0x82, name)))));
}

std::string pem_of_certificate(const std::string& der) {
  std::string encoded((der.size() + 2) / 3 * 4 + 1, '\0');
  encoded.resize(static_cast<std::size_t>(::EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(encoded.data()),
      reinterpret_cast<const unsigned char*>(der.data()), static_cast<int>(der.size()))));
  std::string text = "-----BEGIN CERTIFICATE-----\n";
  for (std::size_t at = 0; at < encoded.size(); at += 64) text += encoded.substr(at, 64) + "\n";
  return text + "-----END CERTIFICATE-----\n";
}

}  // namespace

Result<std::string> make_cluster_authority(std::uint64_t seed, std::int64_t day,
                                           const std::string& name) {
  GYGES_CHECK(load_crypto());
  SeededStream stream(seed, "cluster/" + name);
  const std::size_t first = stream.below(prime_count);
  const std::size_t second = (first + 1 + stream.below(prime_count - 1)) % prime_count;
  const ClusterKey key(cluster_prime(first), cluster_prime(second));
  const std::string modulus = key.modulus();
  const auto failed = [&] {
    return fail("make certificate", printable(name), "out of memory", "report this as a defect");
  };
  if (modulus.empty()) return failed();
  const std::string public_key = sequence(whole(modulus) + std::string("\x02\x03\x01\x00\x01", 5));
  const std::string no_parameters("\x05\x00", 2);
  // rsaEncryption and sha256WithRSAEncryption of PKCS #1.
  const std::string of_keys("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 11);
  const std::string of_signatures("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", 11);
  const std::string algorithm = sequence(of_signatures + no_parameters);
  const std::string subject =
      sequence(tagged(0x31, sequence(std::string("\x06\x03\x55\x04\x03", 5) + text_of(name))));
  std::string serial = from_digits(stream.hex(16));
  serial[0] = static_cast<char>((static_cast<unsigned char>(serial[0]) & 0x3fU) | 0x10U);
  const std::int64_t from = day - 86400 * stream.between(140, 900) - stream.between(0, 86399);
  constexpr std::int64_t ten_years = 3650LL * 86400 + 300;
  const std::string content =
      sequence(std::string("\xa0\x03\x02\x01\x02", 5) + whole(serial) + algorithm + subject +
               sequence(time_of(from) + time_of(from + ten_years)) + subject +
               sequence(sequence(of_keys + no_parameters) + tagged(0x03, '\0' + public_key)) +
               extensions(public_key, name));
  // RFC 8017, section 9.2: what kind of digest it is, and the digest.
  const Sha256 digest = sha256(content);
  const std::string told = sequence(
      sequence(std::string("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01", 11) + no_parameters) +
      tagged(0x04, std::string(digest.begin(), digest.end())));
  const std::string message =
      std::string("\x00\x01", 2) + std::string(key_bytes - 3 - told.size(), '\xff') + '\0' + told;
  const std::string signature = key.sign(message);
  if (signature.empty()) return failed();
  return pem_of_certificate(sequence(content + algorithm + tagged(0x03, '\0' + signature)));
}

}  // namespace gyges::cues
