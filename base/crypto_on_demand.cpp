// Loads libcrypto for the functions of crypto_on_demand.S.in.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/crypto.h"

extern "C" {
extern void* gyges_crypto_functions[];
extern const char gyges_crypto_names[];  // one after the other, an empty one ends them
void gyges_load_libcrypto_or_end();
}

namespace gyges {
namespace {

constexpr const char* file = GYGES_LIBCRYPTO;
constexpr int own_error = 125;

Status load() {
  void* library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail("load", file, ::dlerror(), "install the package " GYGES_LIBCRYPTO_PACKAGE);
  std::size_t index = 0;
  for (const char* name = gyges_crypto_names; *name != '\0'; name += std::strlen(name) + 1) {
    void* function = ::dlsym(library, name);
    if (function == nullptr)
      return fail("load", file, std::string("it has no ") + name,
                  "install the version that gyges was built for");
    __atomic_store_n(&gyges_crypto_functions[index++], function, __ATOMIC_RELEASE);
  }
  return ok();
}

}  // namespace

Status load_crypto() {
  static const Status loaded = load();
  return loaded;
}

}  // namespace gyges

// The caller has no way to hear of an error. Those who go on to do what cannot be done again ask
// load_crypto() before.
void gyges_load_libcrypto_or_end() {
  const gyges::Status loaded = gyges::load_crypto();
  if (loaded) return;
  std::fprintf(stderr, "gyges: %s\n", loaded.error().line().c_str());
  ::_exit(gyges::own_error);
}
