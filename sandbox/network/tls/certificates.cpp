// The low-level interface is the only one that takes a nonce.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sandbox/network/tls/certificates.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>

#include "base/hash.h"
#include "base/text.h"
#include "sandbox/network/names/host_name.h"

namespace gyges::network {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* value) const {
    Free(value);
  }
};
using KeyPointer = std::unique_ptr<EC_KEY, Deleter<EC_KEY_free>>;
using PkeyPointer = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CertificatePointer = std::unique_ptr<X509, Deleter<X509_free>>;
using NumberPointer = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using PointPointer = std::unique_ptr<EC_POINT, Deleter<EC_POINT_free>>;
using ContextPointer = std::unique_ptr<BN_CTX, Deleter<BN_CTX_free>>;
using BioPointer = std::unique_ptr<BIO, Deleter<BIO_free_all>>;

constexpr std::int64_t day = 86400;

tl::unexpected<Error> openssl_failure(std::string_view object) {
  char text[256] = "out of memory";
  if (unsigned long code = ::ERR_get_error(); code != 0)
    ::ERR_error_string_n(code, text, sizeof text);
  return fail("make certificate", object, text, "report this as a defect");
}

// 1 to order - 1, from any text.
NumberPointer scalar(const EC_GROUP* group, const std::string& text) {
  ContextPointer context(::BN_CTX_new());
  NumberPointer order(::BN_new());
  NumberPointer value(::BN_new());
  if (!context || !order || !value) return nullptr;
  Sha256 high = sha256("1" + text);
  Sha256 low = sha256("2" + text);
  std::string bytes(high.begin(), high.end());
  bytes.append(low.begin(), low.end());  // twice the width: the remainder has no bias
  if (::EC_GROUP_get_order(group, order.get(), context.get()) != 1 ||
      ::BN_sub_word(order.get(), 1) != 1 ||
      ::BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()), value.get()) == nullptr ||
      ::BN_mod(value.get(), value.get(), order.get(), context.get()) != 1 ||
      ::BN_add_word(value.get(), 1) != 1)
    return nullptr;
  return value;
}

KeyPointer make_key(const std::string& text) {
  KeyPointer key(::EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  if (!key) return nullptr;
  const EC_GROUP* group = ::EC_KEY_get0_group(key.get());
  NumberPointer secret = scalar(group, text);
  PointPointer point(::EC_POINT_new(group));
  if (!secret || !point ||
      ::EC_POINT_mul(group, point.get(), secret.get(), nullptr, nullptr, nullptr) != 1 ||
      ::EC_KEY_set_private_key(key.get(), secret.get()) != 1 ||
      ::EC_KEY_set_public_key(key.get(), point.get()) != 1)
    return nullptr;
  return key;
}

// The certificate with an ECDSA signature over its content, whose nonce is of key and digest.
CertificatePointer sign(X509* unsigned_certificate, EC_KEY* key) {
  unsigned char* raw = nullptr;
  int size = ::i2d_re_X509_tbs(unsigned_certificate, &raw);
  if (size <= 0) return nullptr;
  std::string content(reinterpret_cast<char*>(raw), static_cast<std::size_t>(size));
  ::OPENSSL_free(raw);
  Sha256 digest = sha256(content);
  const EC_GROUP* group = ::EC_KEY_get0_group(key);
  char* secret = ::BN_bn2hex(::EC_KEY_get0_private_key(key));
  if (secret == nullptr) return nullptr;
  NumberPointer nonce = scalar(group, std::string("nonce/") + secret + "/" + to_hex(digest));
  ::OPENSSL_free(secret);
  ContextPointer context(::BN_CTX_new());
  PointPointer point(::EC_POINT_new(group));
  NumberPointer r(::BN_new());
  NumberPointer inverse(::BN_new());
  NumberPointer order(::BN_new());
  if (!nonce || !context || !point || !r || !inverse || !order ||
      ::EC_GROUP_get_order(group, order.get(), context.get()) != 1 ||
      ::EC_POINT_mul(group, point.get(), nonce.get(), nullptr, nullptr, context.get()) != 1 ||
      ::EC_POINT_get_affine_coordinates(group, point.get(), r.get(), nullptr, context.get()) != 1 ||
      ::BN_nnmod(r.get(), r.get(), order.get(), context.get()) != 1 ||
      ::BN_mod_inverse(inverse.get(), nonce.get(), order.get(), context.get()) == nullptr)
    return nullptr;
  std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG_free>> signature(::ECDSA_do_sign_ex(
      digest.data(), static_cast<int>(digest.size()), inverse.get(), r.get(), key));
  unsigned char* encoded = nullptr;
  int encoded_size = signature ? ::i2d_ECDSA_SIG(signature.get(), &encoded) : 0;
  if (encoded_size <= 0) return nullptr;
  // The certificate is a sequence of content, algorithm and signature; OpenSSL has no setter for
  // the last, so the three are put together and read again.
  std::string bits("\0", 1);
  bits.append(reinterpret_cast<char*>(encoded), static_cast<std::size_t>(encoded_size));
  ::OPENSSL_free(encoded);
  const std::string algorithm("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12);
  auto tagged = [](char tag, const std::string& body) {
    std::string out(1, tag);
    if (body.size() < 128) {
      out += static_cast<char>(body.size());
    } else {
      out += '\x82';
      out += static_cast<char>(body.size() >> 8U);
      out += static_cast<char>(body.size() & 0xffU);
    }
    return out + body;
  };
  std::string der = tagged('\x30', content + algorithm + tagged('\x03', bits));
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return CertificatePointer(::d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

bool add_name(X509_NAME* name, const char* field, const std::string& value) {
  return ::X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>> extension(
      ::X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && ::X509_add_ext(certificate, extension.get(), -1) == 1;
}

CertificatePointer blank(EVP_PKEY* key, const std::string& serial_text, std::int64_t from,
                         std::int64_t until) {
  CertificatePointer certificate(::X509_new());
  if (!certificate) return nullptr;
  Sha256 hash = sha256(serial_text);
  hash[0] = (hash[0] & 0x3fU) | 0x20U;  // positive, and always of the same length
  NumberPointer number(::BN_bin2bn(hash.data(), 16, nullptr));
  std::unique_ptr<ASN1_INTEGER, Deleter<ASN1_INTEGER_free>> serial(
      ::BN_to_ASN1_INTEGER(number.get(), nullptr));
  // The algorithm is in the signed content, too; a throw-away signature puts it there.
  if (!serial || ::X509_set_version(certificate.get(), 2) != 1 ||
      ::X509_set_serialNumber(certificate.get(), serial.get()) != 1 ||
      ::ASN1_TIME_set(::X509_getm_notBefore(certificate.get()), from) == nullptr ||
      ::ASN1_TIME_set(::X509_getm_notAfter(certificate.get()), until) == nullptr ||
      ::X509_set_pubkey(certificate.get(), key) != 1)
    return nullptr;
  return certificate;
}

std::string pem_of(X509* certificate) {
  BioPointer bio(::BIO_new(::BIO_s_mem()));
  if (!bio || ::PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
  char* data = nullptr;
  long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem_of(EC_KEY* key) {
  BioPointer bio(::BIO_new(::BIO_s_mem()));
  if (!bio ||
      ::PEM_write_bio_ECPrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return {};
  char* data = nullptr;
  long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

CertificatePointer read_certificate(std::string_view pem) {
  BioPointer bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return CertificatePointer(bio ? ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)
                                : nullptr);
}

PkeyPointer wrap(EC_KEY* key) {
  PkeyPointer wrapped(::EVP_PKEY_new());
  if (!wrapped || ::EVP_PKEY_set1_EC_KEY(wrapped.get(), key) != 1) return nullptr;
  return wrapped;
}

Result<CertificateKey> finish(CertificatePointer certificate, EC_KEY* key, EC_KEY* issuer_key,
                              std::string_view object) {
  PkeyPointer wrapped = wrap(issuer_key);
  if (!wrapped || ::X509_sign(certificate.get(), wrapped.get(), ::EVP_sha256()) == 0)
    return openssl_failure(object);
  CertificatePointer signed_certificate = sign(certificate.get(), issuer_key);
  // Never hand out what does not verify: a client would see only a broken handshake.
  if (!signed_certificate || ::X509_verify(signed_certificate.get(), wrapped.get()) != 1)
    return openssl_failure(object);
  CertificateKey made{pem_of(signed_certificate.get()), pem_of(key)};
  if (made.certificate_pem.empty() || made.key_pem.empty()) return openssl_failure(object);
  return made;
}

}  // namespace

Result<CertificateKey> make_authority(std::uint64_t seed, std::int64_t created_at,
                                      const std::string& organisation, const std::string& name) {
  const std::string base = std::to_string(seed) + "/authority/" + organisation + "/" + name;
  KeyPointer key = make_key(base);
  PkeyPointer wrapped = key ? wrap(key.get()) : nullptr;
  if (!wrapped) return openssl_failure(printable(name));
  std::int64_t from = created_at - created_at % day - 1173 * day + 35211;
  CertificatePointer certificate = blank(wrapped.get(), base + "/serial", from, from + 3652 * day);
  if (!certificate) return openssl_failure(printable(name));
  X509_NAME* subject = ::X509_get_subject_name(certificate.get());
  if (!add_name(subject, "O", organisation) || !add_name(subject, "CN", name) ||
      ::X509_set_issuer_name(certificate.get(), subject) != 1 ||
      !add_extension(certificate.get(), certificate.get(), NID_basic_constraints,
                     "critical,CA:TRUE") ||
      !add_extension(certificate.get(), certificate.get(), NID_key_usage,
                     "critical,keyCertSign,cRLSign") ||
      !add_extension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash"))
    return openssl_failure(printable(name));
  return finish(std::move(certificate), key.get(), key.get(), printable(name));
}

Result<CertificateKey> issue_certificate(const CertificateKey& authority, std::uint64_t seed,
                                         std::int64_t created_at, std::string_view host) {
  GYGES_TRY(Host parsed, parse_host(host));
  CertificatePointer issuer = read_certificate(authority.certificate_pem);
  BioPointer bio(
      ::BIO_new_mem_buf(authority.key_pem.data(), static_cast<int>(authority.key_pem.size())));
  KeyPointer issuer_key(bio ? ::PEM_read_bio_ECPrivateKey(bio.get(), nullptr, nullptr, nullptr)
                            : nullptr);
  if (!issuer || !issuer_key) return openssl_failure(parsed.text);
  const std::string base = std::to_string(seed) + "/certificate/" + parsed.text;
  KeyPointer key = make_key(base);
  PkeyPointer wrapped = key ? wrap(key.get()) : nullptr;
  if (!wrapped) return openssl_failure(parsed.text);
  Sha256 hash = sha256(base);
  std::int64_t from = created_at - (7 + hash[0] % 45) * day - hash[1] * 337;
  CertificatePointer certificate = blank(wrapped.get(), base + "/serial", from, from + 90 * day);
  // A common name has at most 64 characters.
  if (!certificate ||
      (parsed.text.size() <= 64 &&
       !add_name(::X509_get_subject_name(certificate.get()), "CN", parsed.text)) ||
      ::X509_set_issuer_name(certificate.get(), ::X509_get_subject_name(issuer.get())) != 1 ||
      !add_extension(certificate.get(), issuer.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(certificate.get(), issuer.get(), NID_ext_key_usage, "serverAuth") ||
      !add_extension(certificate.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate.get(), issuer.get(), NID_subject_key_identifier, "hash") ||
      !add_extension(certificate.get(), issuer.get(), NID_authority_key_identifier, "keyid") ||
      !add_extension(certificate.get(), issuer.get(), NID_subject_alt_name,
                     (parsed.address ? "IP:" : "DNS:") + parsed.text))
    return openssl_failure(parsed.text);
  return finish(std::move(certificate), key.get(), issuer_key.get(), parsed.text);
}

Result<std::string> subject_hash(std::string_view certificate_pem) {
  CertificatePointer certificate = read_certificate(certificate_pem);
  if (!certificate) return openssl_failure("certificate");
  char text[16];
  std::snprintf(text, sizeof text, "%08lx", ::X509_subject_name_hash(certificate.get()));
  return std::string(text);
}

}  // namespace gyges::network
