# Installs the Debian or Ubuntu packages of scripts/packages.txt that are not there yet.
# Sourced by the scripts beside it; needs $root, the top of the source tree.

# packages_for USE...: names of the packages that any of the uses (build, test) needs.
packages_for() {
  awk -v uses=" $* " '!/^[[:space:]]*(#|$)/ && index(uses, " " $2 " ") { print $1 }' \
    "$root/scripts/packages.txt"
}

# Node.js also comes from its makers, in one package that conflicts with Debian's npm.
has_own_node() {
  command -v npm >/dev/null && { command -v node >/dev/null || command -v nodejs >/dev/null; }
}

# Those of the named packages that dpkg does not have in state "installed".
missing_packages() {
  local have name names=()
  if has_own_node; then
    for name in "$@"; do
      [ "$name" = nodejs ] || [ "$name" = npm ] || names+=("$name")
    done
    set -- "${names[@]}"
  fi
  have=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
    awk '$1 == "installed" { print $2 }' || true)
  printf '%s\n' "$@" | grep -Fxv -f <(printf '%s\n' "$have" | grep . || echo ' ') || true
}

# As root, or through sudo. Without a terminal sudo must not ask for a password.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Use-Pty=0 "$@"
}

# install_packages USE...: when everything is there, apt is not touched.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    fail "this system has no dpkg and apt-get; the scripts support Debian 12 and Ubuntu 24.04." \
      "Elsewhere install what scripts/packages.txt names and run: cmake --preset release && cmake --build --preset release"
  fi
  local wanted missing log
  mapfile -t wanted < <(packages_for "$@")
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    fail "these packages are missing and neither root nor sudo is at hand: ${missing[*]}" \
      "As root run: apt-get install -y --no-install-recommends ${missing[*]}"
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  log=$(mktemp)
  # A fresh machine has no package lists at all, a neglected one has lists whose files are gone.
  if ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then
    apt_get update >"$log" 2>&1 || { cat "$log" >&2; }
  fi
  if ! apt_get install --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    apt_get update >>"$log" 2>&1 || true
    if ! apt_get install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -f "$log"
      fail "apt-get could not install: ${missing[*]}" \
        "Read its message above; with sudo and no terminal, run this once from a terminal"
    fi
  fi
  rm -f "$log"
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  [ "${#missing[@]}" -eq 0 ] || fail "still not installed: ${missing[*]}" \
    "Run: apt-get install ${missing[*]}"
}

# install_packages_if_there USE...: of packages that not every distribution has, those that this one has.
install_packages_if_there() {
  local wanted missing log
  mapfile -t wanted < <(packages_for "$@")
  mapfile -t missing < <(missing_packages "${wanted[@]}" | while IFS= read -r name; do
    apt-cache policy "$name" | grep -q 'Candidate: [^(]' && echo "$name"
  done || true)
  [ "${#missing[@]}" -gt 0 ] || return 0
  say "installing where there: ${missing[*]}"
  log=$(mktemp)
  apt_get install --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
    say "not installed: ${missing[*]}: $(tail -n 1 "$log")"
  rm -f "$log"
}
