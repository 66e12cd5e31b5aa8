#include "agent_runtime/model/curl_library.h"

#include <dlfcn.h>

namespace gyges::model {
namespace {

constexpr const char* file = "libcurl.so.4";

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<CurlLibrary> load() {
  void* library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail("load", file, ::dlerror(), "install the package libcurl4 (Debian) or libcurl4t64");
  CurlLibrary curl;
  decltype(&::curl_global_init) global_init = nullptr;
  bool whole = find(library, "curl_global_init", global_init) &&
               find(library, "curl_easy_init", curl.easy_init) &&
               find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
               find(library, "curl_easy_setopt", curl.easy_setopt) &&
               find(library, "curl_easy_getinfo", curl.easy_getinfo) &&
               find(library, "curl_easy_strerror", curl.easy_strerror) &&
               find(library, "curl_multi_init", curl.multi_init) &&
               find(library, "curl_multi_cleanup", curl.multi_cleanup) &&
               find(library, "curl_multi_add_handle", curl.multi_add_handle) &&
               find(library, "curl_multi_remove_handle", curl.multi_remove_handle) &&
               find(library, "curl_multi_perform", curl.multi_perform) &&
               find(library, "curl_multi_poll", curl.multi_poll) &&
               find(library, "curl_multi_info_read", curl.multi_info_read) &&
               find(library, "curl_slist_append", curl.slist_append) &&
               find(library, "curl_slist_free_all", curl.slist_free_all);
  if (!whole) return fail("load", file, "it lacks a function", "install libcurl 7.85 or later");
  if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return fail("start", file, "its initialisation failed");
  return curl;
}

}  // namespace

Result<const CurlLibrary*> CurlLibrary::get() {
  static const Result<CurlLibrary> library = load();
  if (!library) return tl::unexpected<Error>(library.error());
  return &*library;
}

}  // namespace gyges::model
