#!/bin/sh
# Runs every test of tests/ and says how many failed; the status is 1 if any did.
cd "$(dirname "$0")" || exit 2
. ./tariff.sh
passed=0
failed=0
expect() {
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED $1: expected $3, got $2"
  fi
}
for file in tests/test_*.sh; do
  . "./$file"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
