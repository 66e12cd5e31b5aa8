# Every third-party library, found once. Names of the Debian and Ubuntu packages stand in
# scripts/packages.txt; scripts/build installs them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 REQUIRED)
# For its headers: the library is loaded at the first call to a model (agent_runtime/model).
find_package(CURL REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS filesystem)
find_package(Eigen3 3.3 REQUIRED NO_MODULE)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(LIBNL REQUIRED IMPORTED_TARGET libnl-3.0 libnl-route-3.0)
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET libbpf)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
# Its -pthread would be a flag of every source, and means nothing to glibc 2.34 and later.
set_property(TARGET PkgConfig::RE2 PROPERTY INTERFACE_COMPILE_OPTIONS "")
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(MINIZIP REQUIRED IMPORTED_TARGET minizip)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
find_package(ZLIB REQUIRED)
find_program(GYGES_BPF_CLANG NAMES clang clang-14 clang-15 clang-16 clang-17 clang-18 REQUIRED
  DOC "clang with the bpf target, compiles the recorder's kernel side")

# The binary links these statically (gyges_static.cmake); everything else links them as found.
include(gyges_static)
gyges_archives(gyges_crypto OpenSSL::Crypto crypto)
include(gyges_crypto_on_demand)
gyges_archives(gyges_sqlite SQLite::SQLite3 sqlite3)
gyges_archives(PkgConfig::SECCOMP "${SECCOMP_LINK_LIBRARIES}" seccomp)
gyges_archives(PkgConfig::LIBNL "${LIBNL_LINK_LIBRARIES}" nl-route-3 nl-3)
gyges_archives(PkgConfig::LIBBPF "${LIBBPF_LINK_LIBRARIES}" bpf elf z zstd)
gyges_archives(PkgConfig::PCRE2 "${PCRE2_LINK_LIBRARIES}" pcre2-8)
gyges_archives(PkgConfig::RE2 "${RE2_LINK_LIBRARIES}" re2)
gyges_archives(PkgConfig::ZSTD "${ZSTD_LINK_LIBRARIES}" zstd)
gyges_archives(gyges_ssl OpenSSL::SSL ssl crypto)
gyges_archives(gyges_zlib ZLIB::ZLIB z)
gyges_archives(PkgConfig::NGHTTP2 "${NGHTTP2_LINK_LIBRARIES}" nghttp2)
gyges_archives(PkgConfig::MINIZIP "${MINIZIP_LINK_LIBRARIES}" minizip z)
# Its own directory holds a crypt.h; <minizip/unzip.h> needs none of it.
set_property(TARGET PkgConfig::MINIZIP PROPERTY INTERFACE_INCLUDE_DIRECTORIES "")
