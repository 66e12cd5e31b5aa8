// Preloaded: the kernel has no thread left for the process that this is loaded into, once. Which
// one is refused stands in GYGES_TEST_THREAD, counted from 1.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*work)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  static const char* const named = std::getenv("GYGES_TEST_THREAD");
  static std::atomic<int> count = 0;
  if (named != nullptr && ++count == std::atoi(named)) return EAGAIN;
  return real(thread, attributes, work, argument);
}
