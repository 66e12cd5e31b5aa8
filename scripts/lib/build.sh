# Configures and builds the release preset, quietly. Needs $root and messages.sh.

# configure_release [CMAKE ARGUMENTS...]
configure_release() {
  mkdir -p "$root/build/release"
  local log="$root/build/release/configure.log"
  if ! (cd "$root" && cmake --preset release -DGYGES_FROM_NOTHING=ON "$@") >"$log" 2>&1; then
    grep -A 8 -m 3 'CMake Error' "$log" >&2 || tail -n 20 "$log" >&2
    fail "configuring failed; everything it said is in $log" \
      "When the build directory comes from another compiler or path: rm -r $root/build/release"
  fi
}

# Shows at most one line for each tenth of the build. A loop of the shell: Debian's awk (mawk) reads
# pipes in blocks and would be a minute late.
thin_progress() {
  local line last=0 tenth
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    tenth=$((10 * BASH_REMATCH[1] / BASH_REMATCH[2]))
    if [ "$tenth" -ne "$last" ] && [ "${BASH_REMATCH[2]}" -gt 10 ]; then
      say "built ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]}"
    fi
    last=$tenth
  done
}

# build_release [TARGET...]: without targets, everything.
build_release() {
  local log="$root/build/release/build.log" targets=()
  [ $# -eq 0 ] || targets=(--target "$@")
  if [ -t 2 ]; then
    # A terminal gets ninja's own single, overwritten line.
    NINJA_STATUS='[%f/%t, %es] ' cmake --build "$root/build/release" "${targets[@]}" >&2 && return 0
  else
    if NINJA_STATUS='[%f/%t] ' cmake --build "$root/build/release" "${targets[@]}" 2>&1 |
      tee "$log" | thin_progress; then
      return 0
    fi
    grep -A 30 -m 1 '^FAILED' "$log" >&2 || tail -n 30 "$log" >&2
  fi
  fail "the build failed" "Correct what the compiler names above"
}
