#include "sandbox/cues/cluster_authority.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <set>
#include <string>

namespace gyges::cues {
namespace {

constexpr std::int64_t day = 1795046400;

struct FreeCertificate {
  void operator()(X509* certificate) const { ::X509_free(certificate); }
  void operator()(BIO* bio) const { ::BIO_free_all(bio); }
};

using Certificate = std::unique_ptr<X509, FreeCertificate>;

Certificate read(const std::string& pem) {
  const std::unique_ptr<BIO, FreeCertificate> bio(
      ::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Certificate(::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

// The bytes of its public key.
std::string key_of(const std::string& pem) {
  const Certificate certificate = read(pem);
  const ASN1_BIT_STRING* bits =
      certificate ? ::X509_get0_pubkey_bitstr(certificate.get()) : nullptr;
  if (bits == nullptr) return {};
  return {reinterpret_cast<const char*>(bits->data), static_cast<std::size_t>(bits->length)};
}

// What OpenSSL makes of it: whether its key signed it, which changed bytes do not pass.
bool verifies(const std::string& pem) {
  const Certificate certificate = read(pem);
  return certificate &&
         ::X509_verify(certificate.get(), ::X509_get0_pubkey(certificate.get())) == 1;
}

TEST(ClusterAuthority, SignsItself) {
  std::set<std::string> all;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const auto made = make_cluster_authority(seed, day, "kubernetes");
    ASSERT_TRUE(made) << made.error().line();
    EXPECT_TRUE(verifies(*made)) << seed;
    all.insert(*made);
  }
  EXPECT_EQ(all.size(), 300U);
  std::string changed = *all.begin();
  const std::size_t at = changed.size() - 200;
  changed[at] = changed[at] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(verifies(changed));
  EXPECT_EQ(*make_cluster_authority(7, day, "kubernetes"),
            *make_cluster_authority(7, day, "kubernetes"));
}

// By chance four of 500 keys would be drawn twice.
TEST(ClusterAuthority, SeldomHasTheKeyOfAnother) {
  std::set<std::string> keys;
  for (std::uint64_t seed = 0; seed < 500; ++seed)
    keys.insert(key_of(*make_cluster_authority(seed, day, "kubernetes")));
  EXPECT_FALSE(keys.contains(""));
  EXPECT_GE(keys.size(), 490U);
}

}  // namespace
}  // namespace gyges::cues
