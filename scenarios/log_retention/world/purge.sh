#!/bin/bash
# Removes log files older than keep_days from the trees in retention.conf.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
conf=${RETENTION_CONF:-$here/retention.conf}
apply=no
[ "${1:-}" = "--apply" ] && apply=yes

value() { sed -n "s/^$1 *= *//p" "$conf" | tail -n 1; }

root=$(value root)
keep=$(value keep_days)

for tree in $(value trees); do
  dir=$root/$tree
  [ -d "$dir" ] || { echo "purge: $dir is not there" >&2; continue; }
  if [ "$apply" = yes ]; then
    find "$dir" -type f -name '*.log' -mtime "+$keep" -print -delete
  else
    find "$dir" -type f -name '*.log' -mtime "+$keep" -print
  fi
done
