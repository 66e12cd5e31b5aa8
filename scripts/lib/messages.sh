# How the scripts speak: progress to standard error, one clear line when they give up.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# fail REASON CURE
fail() {
  printf '%s: %s\n%s: %s\n' "${0##*/}" "$1" "${0##*/}" "$2" >&2
  exit 1
}
