#include "certificates.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace baton_test {

namespace {

using key_pointer = std::shared_ptr<EVP_PKEY>;
using certificate_pointer = std::shared_ptr<X509>;

template <class Write>
std::string pem_of(Write write) {
  BIO* const out = BIO_new(BIO_s_mem());
  if (write(out) != 1) throw std::runtime_error("no PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

std::string pem_of(X509* certificate) {
  return pem_of([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const one = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (one == nullptr) throw std::runtime_error("no extension " + value);
  X509_add_ext(certificate, one, -1);
  X509_EXTENSION_free(one);
}

// Without `issuer` the certificate signs itself.
certificate_pointer make(const std::string& subject, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, bool is_ca,
                         const certificate_wishes& wishes) {
  certificate_pointer made(X509_new(), X509_free);
  X509* const c = made.get();
  X509_set_version(c, X509_VERSION_3);
  unsigned char serial[8];
  RAND_bytes(serial, sizeof serial);
  serial[0] = 1;
  BIGNUM* const number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(c));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(c), wishes.begins_in_s);
  X509_gmtime_adj(X509_getm_notAfter(c), wishes.ends_in_s);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(subject.data()), static_cast<int>(subject.size()),
                             -1, 0);
  X509_set_issuer_name(c, X509_get_subject_name(issuer == nullptr ? c : issuer));
  X509_set_pubkey(c, key);
  add_extension(c, c, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "CA:FALSE");
  add_extension(c, c, NID_key_usage, is_ca ? "critical,keyCertSign,cRLSign" : "digitalSignature");
  add_extension(c, c, NID_subject_key_identifier, "hash");
  add_extension(c, issuer == nullptr ? c : issuer, NID_authority_key_identifier, "keyid");
  if (!is_ca) {
    std::string all;
    for (const std::string& name : wishes.names) all += (all.empty() ? "" : ",") + name;
    if (!all.empty()) add_extension(c, c, NID_subject_alt_name, all);
  }
  if (wishes.padding > 0)
    add_extension(c, c, NID_netscape_comment, std::string(static_cast<std::size_t>(wishes.padding), 'x'));
  if (X509_sign(c, issuer_key, EVP_sha256()) == 0) throw std::runtime_error("no signature");
  return made;
}

key_pointer new_key() {
  key_pointer key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  if (key == nullptr) throw std::runtime_error("no key");
  return key;
}

std::string pem_of_key(EVP_PKEY* key) {
  return pem_of([&](BIO* out) { return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

}  // namespace

authority::authority(const std::string& name)
    : key_(new_key()), certificate_(make(name, key_.get(), nullptr, key_.get(), true, {})) {}

authority::authority(const std::string& name, const authority& above)
    : key_(new_key()),
      certificate_(make(name, key_.get(), above.certificate_.get(), above.key_.get(), true, {})),
      intermediates_(pem_of(certificate_.get()) + above.intermediates_) {}

std::string authority::pem() const { return pem_of(certificate_.get()); }

issued_certificate authority::issue(const std::string& subject, const certificate_wishes& wishes) const {
  const key_pointer key = new_key();
  const certificate_pointer c = make(subject, key.get(), certificate_.get(), key_.get(), false, wishes);
  return {pem_of(c.get()) + intermediates_, pem_of_key(key.get())};
}

issued_certificate self_signed(const std::string& subject) {
  const key_pointer key = new_key();
  return {pem_of(make(subject, key.get(), nullptr, key.get(), false, {}).get()), pem_of_key(key.get())};
}

temporary_folder::temporary_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "baton-tls-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  folder_ = name;
}

temporary_folder::~temporary_folder() { std::filesystem::remove_all(folder_); }

std::string temporary_folder::file(const std::string& name, const std::string& content) const {
  const std::string where = path(name);
  std::ofstream(where) << content;
  return where;
}

}  // namespace baton_test
