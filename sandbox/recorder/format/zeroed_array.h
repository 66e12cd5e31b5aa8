// An array that begins as zeros and takes no memory where it is not used.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

namespace gyges::recorder {

// As many T as its constructor says, all bytes zero, in memory that costs nothing before it is
// used: most traces are short and touch little of these tables.
template <class T>
class ZeroedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit ZeroedArray(std::size_t count)
      : bytes_(count * sizeof(T)), items_(static_cast<T*>(std::calloc(count, sizeof(T)))) {
    if (!items_) throw std::bad_alloc();
  }
  void clear() { std::memset(static_cast<void*>(items_.get()), 0, bytes_); }
  T& operator[](std::size_t at) { return items_.get()[at]; }
  const T& operator[](std::size_t at) const { return items_.get()[at]; }

 private:
  struct Free {
    void operator()(T* items) const { std::free(items); }
  };
  std::size_t bytes_;
  std::unique_ptr<T, Free> items_;
};

}  // namespace gyges::recorder
