# How the scripts speak: progress to standard error, one clear line when they give up.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# fail REASON CURE
fail() {
  printf '%s: %s\n%s: %s\n' "${0##*/}" "$1" "${0##*/}" "$2" >&2
  exit 1
}

# help_if_asked "$@": --help prints what stands at the top of the script, and ends it.
help_if_asked() {
  case "${1:-}" in
    -h | --help)
      sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
  esac
}
