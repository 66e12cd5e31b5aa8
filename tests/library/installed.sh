#!/usr/bin/env bash
# Installs everything into an empty prefix, builds examples/sandbox against it by CMake's
# find_package and by pkg-config, and runs both and the installed command, as root and as the tests'
# ordinary user.
#   tests/library/installed.sh SOURCE BUILD CXX
set -euo pipefail
source=$1 build=$2 cxx=$3
if grep -q 'GYGES_SANITIZE:.*=.' "$build/CMakeCache.txt"; then
  echo "skipped: programs of users are not built with sanitizers"
  exit 77
fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
# Builds the library where only the binary was built before.
cmake --install "$build" --prefix "$place/prefix" >"$place/log" 2>&1 || { cat "$place/log"; exit 1; }

# Nothing of the source tree may be needed: the example is built from a copy, elsewhere.
cp -r "$source/examples/sandbox" "$place/example"
cmake -S "$place/example" -B "$place/by_cmake" -DCMAKE_PREFIX_PATH="$place/prefix" \
  -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$place/by_cmake" >/dev/null

PKG_CONFIG_PATH=$(dirname "$(find "$place/prefix" -name gyges.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
"$cxx" -std=c++20 -Wall -Wextra -Werror "$place/example/main.cpp" -o "$place/by_pkg_config" \
  $(pkg-config --cflags --libs gyges) -Wl,-rpath,"$(pkg-config --variable=libdir gyges)"

# The command, its page and its documents; scenarios and policies are found from the new place.
for file in share/man/man1/gyges.1 share/doc/gyges/README.md share/doc/gyges/LICENSE \
  share/doc/gyges/docs/isolation.md share/doc/gyges/docs/images share/gyges/scenarios; do
  [ -e "$place/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
if command -v man >/dev/null; then
  page=$(man -l "$place/prefix/share/man/man1/gyges.1" 2>&1) || true
  grep -q gyges <<<"$page" || { echo "the man page cannot be shown: $page"; exit 1; }
fi
installed=$place/prefix/bin/gyges
mkdir "$place/work" "$place/home"
chmod 777 "$place/work" "$place/home"
check_command() {
  local output
  output=$(cd / && "$@" "$installed" run -q --recorder off --workspace "$place/work" -- echo inside 2>&1) || true
  [ "$output" = inside ] || { echo "the installed command does not run: $* $output"; exit 1; }
}
check_command env
if [ "$(id -u)" = 0 ] && [ -n "${GYGES_TEST_UID:-}" ]; then
  check_command setpriv --reuid="$GYGES_TEST_UID" --regid="$GYGES_TEST_GID" --clear-groups \
    env HOME="$place/home"
fi
output=$(cd / && "$installed" episode log_retention --agent no_such_agent --out "$place/none" 2>&1) || true
grep -q honest <<<"$output" || { echo "the installed command does not find its scenarios: $output"; exit 1; }

# The header stands alone, and the library shows what the header declares and nothing else.
library=$(find "$place/prefix" -name libgyges.so)
foreign=$(nm -DC --defined-only "$library" | grep -v ' gyges::sandbox::\| for gyges::sandbox::\| GYGES_' || true)
if [ -n "$foreign" ]; then
  echo "libgyges.so exports what is not of its header:"
  echo "$foreign" | head
  exit 1
fi

check() {
  local output
  output=$(cd / && "$@")
  grep -qx 'exit code 0' <<<"$output" || { echo "$*: $output"; exit 1; }
  grep -qx '/tmp/answer 3 bytes' <<<"$output" || { echo "$*: no change of /tmp/answer: $output"; exit 1; }
}
for program in "$place/by_cmake/example" "$place/by_pkg_config"; do
  check "$program"
  if [ "$(id -u)" = 0 ] && [ -n "${GYGES_TEST_UID:-}" ]; then
    check setpriv --reuid="$GYGES_TEST_UID" --regid="$GYGES_TEST_GID" --clear-groups "$program"
  fi
done
