#!/usr/bin/env bash
# Checks README.md: every item of the inventory has a row, and whatever a row names exists.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
status=0
complain() {
  echo "README.md: $1"
  status=1
}

for item in A{1..20} B{1..16} C{1..15} D{1..11} E{1..18} F{1..10}; do
  grep -q "^| $item |.*\`.*#.*\`" README.md || complain "$item has no test"
done
count=0
while IFS='#' read -r file names; do
  for name in ${names//,/ }; do
    count=$((count + 1))
    grep -qw "$name" "$file" 2>/dev/null || complain "$file has no $name"
  done
done < <(grep -o '`[a-z_./]*#[A-Za-z0-9_,]*`' README.md | tr -d '`')
# The other way round: no attempt without a row.
while read -r name; do
  grep -qw "$name" README.md || complain "the attempt $name has no row"
done < <(grep -hoP '\{"[A-F]\d+",\s*"\K[a-z0-9_]+' isolation/*_attempts.cpp)
for cve in CVE-2017-5226 CVE-2020-5291 CVE-2016-9016 CVE-2017-5180 CVE-2017-5206 CVE-2017-5207 \
  CVE-2017-5940 CVE-2021-26910 CVE-2022-31214 CVE-2019-5736 CVE-2019-16884 CVE-2019-19921 \
  CVE-2021-30465 CVE-2023-27561 CVE-2023-28642 CVE-2024-21626 CVE-2025-31133 CVE-2025-52565 \
  CVE-2025-52881 CVE-2026-41579 CVE-2022-27650 CVE-2025-24965 CVE-2026-30892 CVE-2026-47766; do
  grep -q "$cve" README.md || complain "$cve is not named"
done
echo "$count tests named"
exit "$status"
