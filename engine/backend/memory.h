// The memory a backend's buffers live in; the guarded kind can be read only while one of its operations runs.
#pragma once
#include <cstddef>
#include <memory>
#include <memory_resource>

namespace reattend {

/// Hands out memory from large page-aligned maps. Not thread-safe: buffers are made and freed between parallel regions.
class BackendMemory {
 public:
  enum class Kind { plain, guarded };
  explicit BackendMemory(Kind kind);
  bool guarded() const { return kind_ == Kind::guarded; }
  ~BackendMemory();
  BackendMemory(const BackendMemory&) = delete;
  BackendMemory& operator=(const BackendMemory&) = delete;

  /// What containers take. Allocate, free and touch only inside an Access.
  std::pmr::memory_resource* resource();
  /// A map of its own for every request, for few and large ones.
  std::pmr::memory_resource* maps();

  /// Opens the memory for as long as it lives; nests. Free for the plain kind.
  class Access {
   public:
    explicit Access(BackendMemory& memory);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    BackendMemory& memory_;
  };

 private:
  class Maps;
  Kind kind_;
  std::unique_ptr<Maps> maps_;
  std::unique_ptr<std::pmr::unsynchronized_pool_resource> pool_;
};

}  // namespace reattend
