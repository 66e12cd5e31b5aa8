#!/usr/bin/env bash
# Runs a GoogleTest program as the throw-away ordinary user that scripts/test made, so that what
# works for root is shown to work without privilege too.
#   tests/as_user.sh PROGRAM [CAPTURE]
# CAPTURE (host_capture_main.cpp) watches the host's packets meanwhile, for a user may not.
# Exit status 77, a skip, where there is no such user.
set -euo pipefail
program=$1
capture=${2:-}
if [ "$(id -u)" != 0 ]; then
  echo "skipped: already an ordinary user; $(basename "$program") itself covers this"
  exit 77
fi
if [ -z "${GYGES_TEST_UID:-}" ]; then
  echo "skipped: no throw-away user (GYGES_TEST_UID is not set); run scripts/test"
  exit 77
fi
# The build directory may lie where the user cannot go.
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cp "$program" "$directory/program"
chown -R "$GYGES_TEST_UID:$GYGES_TEST_GID" "$directory"
name=$(basename "$program")_as_user
status=0
(cd "$directory" && ${capture:+"$capture"} setpriv --reuid="$GYGES_TEST_UID" --regid="$GYGES_TEST_GID" --clear-groups \
  env HOME="$directory" TMPDIR="$directory" ${GTEST_OUTPUT:+GTEST_OUTPUT="xml:$directory/$name.xml"} \
  ./program) || status=$?
case "${GTEST_OUTPUT:-}" in
  xml:*) [ ! -f "$directory/$name.xml" ] || cp "$directory/$name.xml" "${GTEST_OUTPUT#xml:}/" ;;
esac
exit "$status"
