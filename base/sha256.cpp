// OpenSSL's digest behind one function.
#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <memory>

#include "base/error.h"

namespace reattend {

std::string sha256(std::span<const std::byte> bytes) {
  return sha256(std::span(&bytes, 1));
}

std::string sha256(std::span<const std::span<const std::byte>> parts) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int n = 0;
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool done = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const std::span<const std::byte> part : parts) {
    done = done && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  if (!done || EVP_DigestFinal_ex(context.get(), digest.data(), &n) != 1) {
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
