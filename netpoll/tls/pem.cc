#include <baton/netpoll/tls/pem.h>

#include <baton/netpoll/error_text.h>
#include <baton/netpoll/tls/openssl_errors.h>
#include <baton/syscall/bytes.h>
#include <baton/syscall/files.h>
#include <baton/syscall/owned_fd.h>

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <utility>

namespace baton::net {

namespace {

constexpr std::size_t file_max = std::size_t{16} * 1024 * 1024;

absl::Status no_memory(const char* operation, std::string_view object) {
  return errno_status(ENOMEM, operation, object);
}

// OpenSSL would ask at the terminal for the password of an encrypted key.
int no_password(char*, int, int, void*) noexcept { return -1; }

bio_handle bio_over(std::string_view text) noexcept {
  if (text.size() > INT_MAX) return nullptr;
  return bio_handle(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_of(const X509_NAME* name) {
  const bio_handle out(BIO_new(BIO_s_mem()));
  if (out == nullptr || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) noexcept {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

struct names_free {
  void operator()(GENERAL_NAMES* names) const noexcept { GENERAL_NAMES_free(names); }
};

std::vector<std::string> dns_names_of(X509* certificate) {
  std::vector<std::string> found;
  const std::unique_ptr<GENERAL_NAMES, names_free> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    const auto* const text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    found.emplace_back(text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  return found;
}

std::string der_of(X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  if (size <= 0) return {};
  std::string der(static_cast<std::size_t>(size), '\0');
  auto* to = reinterpret_cast<unsigned char*>(der.data());
  if (i2d_X509(certificate, &to) != size) return {};
  return der;
}

std::string fingerprint_of(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    text.push_back(digits[digest[i] >> 4]);
    text.push_back(digits[digest[i] & 15]);
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> read_pem_file(const std::string& path) {
  const auto opened = sys::open(path, O_RDONLY | O_CLOEXEC);
  if (!opened) return errno_status(opened.error(), "open", path);
  const sys::owned_fd fd(*opened);
  std::string text;
  for (;;) {
    constexpr std::size_t piece = 16 * 1024;
    const std::size_t before = text.size();
    if (before > file_max) return errno_status(EFBIG, "read", path);
    text.resize(before + piece);
    const auto n = sys::read(fd.get(), bytes(text).drop(before));
    if (!n && n.error() != EINTR) return errno_status(n.error(), "read", path);
    text.resize(before + n.value_or(0));
    if (n && *n == 0) return text;
  }
}

absl::StatusOr<certificates_handle> certificates_of_pem(std::string_view pem, std::string_view object) {
  constexpr const char* operation = "read certificates of";
  forget_openssl_errors();
  const bio_handle in = bio_over(pem);
  certificates_handle all(sk_X509_new_null());
  if (in == nullptr || all == nullptr) {
    forget_openssl_errors();
    return no_memory(operation, object);
  }
  for (;;) {
    certificate_handle one(PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr));
    if (one == nullptr) break;
    if (sk_X509_push(all.get(), one.get()) <= 0) {
      forget_openssl_errors();
      return no_memory(operation, object);
    }
    (void)one.release();
  }
  const unsigned long last = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (!at_end) return context_status(take_input_error(), operation, object);
  forget_openssl_errors();
  if (sk_X509_num(all.get()) > 0) return all;
  return absl::InvalidArgumentError(describe(operation, object, "there is none in PEM form"));
}

absl::StatusOr<tls_identity_state> identity_of_pem(std::string_view chain, std::string_view chain_object,
                                                   std::string_view key, std::string_view key_object) {
  absl::StatusOr<certificates_handle> all = certificates_of_pem(chain, chain_object);
  if (!all.ok()) return all.status();
  tls_identity_state made;
  made.certificate.reset(sk_X509_shift(all->get()));
  made.chain = *std::move(all);
  // OpenSSL's own words for these two are "unsupported".
  if (key.find("PRIVATE KEY-----") == std::string_view::npos) {
    return absl::InvalidArgumentError(describe("read key of", key_object, "there is none in PEM form"));
  }
  if (key.find("ENCRYPTED") != std::string_view::npos) {
    return absl::InvalidArgumentError(describe("read key of", key_object, "it is encrypted"));
  }
  const bio_handle in = bio_over(key);
  if (in == nullptr) {
    forget_openssl_errors();
    return no_memory("read key of", key_object);
  }
  made.key.reset(PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr));
  if (made.key == nullptr) return context_status(take_input_error(), "read key of", key_object);
  if (X509_check_private_key(made.certificate.get(), made.key.get()) != 1) {
    forget_openssl_errors();
    return absl::InvalidArgumentError(
        describe("read key of", key_object, "it does not belong to the certificate of " + std::string(chain_object)));
  }
  forget_openssl_errors();
  return made;
}

tls_certificate describe_certificate(X509* certificate) {
  tls_certificate c;
  c.subject = text_of(X509_get_subject_name(certificate));
  c.issuer = text_of(X509_get_issuer_name(certificate));
  c.dns_names = dns_names_of(certificate);
  c.not_before = time_of(X509_get0_notBefore(certificate));
  c.not_after = time_of(X509_get0_notAfter(certificate));
  c.sha256 = fingerprint_of(certificate);
  c.der = der_of(certificate);
  forget_openssl_errors();
  return c;
}

}  // namespace baton::net
