# tariff: amounts for the quoting service. See README.md.

calculate() {
  awk "BEGIN { printf \"%.2f\\n\", $1 }"
}

base_amount() {
  calculate "$1 * $2"
}

# 4.3: the surcharge is a percentage now (was a factor)
with_surcharge() {
  calculate "$1 * $2"
}

whole() {
  awk "BEGIN { printf \"%d\\n\", int($1 + 0.5) }"
}

discounted() {
  if [ "$2" -gt 100 ]; then
    calculate "$1 * 0.95"
  else
    calculate "$1"
  fi
}
