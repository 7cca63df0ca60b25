// Certificates for tests, made by the test that uses them.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <memory>
#include <string>
#include <vector>

namespace baton_test {

// In PEM.
struct issued_certificate {
  std::string chain;  // the certificate, and those between it and the root
  std::string key;
};

struct certificate_wishes {
  std::vector<std::string> names = {"DNS:localhost", "IP:127.0.0.1"};  // of subjectAltName
  long begins_in_s = -3600;
  long ends_in_s = 3600;
  int padding = 0;  // bytes of a comment, to make it large
};

// An authority that signs certificates: a root, or one below it.
class authority {
 public:
  explicit authority(const std::string& name);
  // One that `above` has certified.
  authority(const std::string& name, const authority& above);

  // What a peer has to trust.
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] issued_certificate issue(const std::string& subject, const certificate_wishes& wishes = {}) const;

 private:
  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> certificate_;
  std::string intermediates_;
};

// One that no authority has signed.
[[nodiscard]] issued_certificate self_signed(const std::string& subject);

// A folder that is removed with its files at the end.
class temporary_folder {
 public:
  temporary_folder();
  ~temporary_folder();
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  // Writes a file, and returns its path.
  std::string file(const std::string& name, const std::string& content) const;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  std::string folder_;
};

}  // namespace baton_test
