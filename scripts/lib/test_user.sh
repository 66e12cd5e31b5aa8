# A throw-away ordinary user, so that tests which run as root can also show what happens without
# privilege. Tests find it in GYGES_TEST_USER, GYGES_TEST_UID and GYGES_TEST_GID and skip, with the
# reason, where these are not set. Needs messages.sh.

make_test_user() {
  [ "$(id -u)" = 0 ] || return 0
  local name="gyges-test-$$"
  if ! useradd --create-home --shell /bin/sh "$name" 2>/dev/null; then
    say "could not add an ordinary user; tests that need one will be skipped"
    return 0
  fi
  GYGES_TEST_USER=$name
  GYGES_TEST_UID=$(id -u "$name")
  GYGES_TEST_GID=$(id -g "$name")
  export GYGES_TEST_USER GYGES_TEST_UID GYGES_TEST_GID
}

# What the user still runs is ended first: userdel refuses otherwise.
remove_test_user() {
  [ -n "${GYGES_TEST_USER:-}" ] || return 0
  local pid
  for pid in $(ps -o pid= -u "$GYGES_TEST_UID" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
  userdel --force --remove "$GYGES_TEST_USER" >/dev/null 2>&1 || true
  unset GYGES_TEST_USER GYGES_TEST_UID GYGES_TEST_GID
}
