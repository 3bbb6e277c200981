// OpenSSL's digest behind one function.
#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "base/error.h"

namespace reattend {

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int n = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &n, EVP_sha256(), nullptr) != 1) {
    fail({"SHA-256", "a digest", "a refusal of OpenSSL", "check the installation of libssl"});
  }
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (unsigned int i = 0; i < n; ++i) {
    out += kHex[digest[i] >> 4];
    out += kHex[digest[i] & 15];
  }
  return out;
}

}  // namespace reattend
