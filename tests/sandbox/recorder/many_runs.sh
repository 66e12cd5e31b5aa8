#!/usr/bin/env bash
# Many recorded sandboxes at the same time: many_runs.sh GYGES [COUNT]
#
# Starts COUNT (default 24) times `gyges run --recorder ebpf`, waits until every command runs inside,
# reports the memory of all recorders, lets the commands end and checks each record. Exit status 77:
# this host cannot record by BPF.
set -euo pipefail
gyges=$1
count=${2:-24}
[ "$(id -u)" -eq 0 ] || { echo "skipped: recording by BPF needs root"; exit 77; }
directory=$(mktemp -d /tmp/gyges_many.XXXXXX)
export XDG_STATE_HOME=$directory/state
pids=()
clean() {
  exec 9>&- || true
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait || true
  rm -rf "$directory"
}
trap clean EXIT
mkfifo "$directory/gate"
mkdir "$directory/work"
exec 9<>"$directory/gate"
start=$(date +%s.%N)
for i in $(seq "$count"); do
  # The shell inside waits for the end of its input.
  "$gyges" run --quiet --no-tty --recorder ebpf --workspace "$directory/work" \
    --out "$directory/run$i" -- sh -c 'echo inside; read line; ls -R /usr/bin >/dev/null' \
    <"$directory/gate" >"$directory/out$i" 2>"$directory/err$i" 9>&- &
  pids+=($!)
done
limit=$((SECONDS + 60 + count))
until [ "$(cat "$directory"/out* | grep -c inside || true)" -eq "$count" ]; do
  if [ $SECONDS -gt $limit ]; then
    echo "only $(cat "$directory"/out* | grep -c inside || true) of $count started"
    cat "$directory"/err* | sort | uniq -c | sort -rn | head -5
    exit 1
  fi
  sleep 0.2
done
awk -v count="$count" -v from="$start" -v to="$(date +%s.%N)" \
  'BEGIN { printf "%d sandboxes are recorded at once, after %.1f s\n", count, to - from }'
memory() {  # kB of that field, all recorders together
  for pid in "${pids[@]}"; do awk -v field="$1:" '$1 == field { print $2 }' "/proc/$pid/smaps_rollup"; done |
    awk '{ sum += $1 } END { print sum + 0 }'
}
maps() {  # kB of each recorder's own maps, the rings
  for pid in "${pids[@]}"; do
    cat "/proc/$pid"/fdinfo/* 2>/dev/null |
      awk '/^map_type:/ { type = $2 } /^memlock:/ { if (type == 2) print $2 / 1024 }'
  done | awk '{ sum += $1 } END { printf "%d", sum }'
}
awk -v n="$count" -v pss="$(memory Pss)" -v anonymous="$(memory Pss_Anon)" -v rings="$(maps)" 'BEGIN {
  printf "memory of all %d: PSS %.0f MiB (anonymous %.0f), rings and other arrays %.0f MiB; ", n,
         pss / 1024, anonymous / 1024, rings / 1024
  printf "of each: PSS %.1f MiB, arrays %.1f MiB\n", pss / 1024 / n, rings / 1024 / n }'
exec 9>&-  # the end of every command's input
bad=0
for i in $(seq "$count"); do
  status=0
  wait "${pids[$((i - 1))]}" || status=$?
  unset "pids[$((i - 1))]"
  grep -q '"complete": *true' "$directory/run$i/run.json" 2>/dev/null && [ $status -eq 0 ] && continue
  bad=$((bad + 1))
  echo "run $i: exit status $status: $(head -c 300 "$directory/err$i")"
done
pids=()
[ $bad -eq 0 ] || { echo "$bad of $count failed"; exit 1; }
echo "all $count ended well, each record complete"
