# Sums up the results of one run of scripts/test: GoogleTest's XML files, one for each program, and
# ctest's JUnit file, given last, for programs that left none (not GoogleTest, or died).
# Prints the failures and the reasons of skipped tests, then "N passed, N failed, N skipped".

function attribute(line, name,    at, rest) {
  at = match(line, "(^|[ \t])" name "=\"")
  if (!at) return ""
  rest = substr(line, at + RLENGTH)
  return substr(rest, 1, index(rest, "\"") - 1)
}

function plain(text) {
  gsub(/&#x0A;|&#xA;/, " ", text)
  gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text)
  gsub(/&quot;/, "\"", text); gsub(/&apos;/, "'", text); gsub(/&amp;/, "\\&", text)
  # GoogleTest puts "file:line" before the message.
  sub(/^[^ ]*:[0-9]+ /, "", text)
  return substr(text, 1, 200)
}

function finish_case() {
  if (name == "") return
  if (state == "failed") { failed++; bad[++bads] = name }
  else if (state == "skipped") { skipped++; skips[++skip_count] = name ": " (reason == "" ? "no reason given" : reason) }
  else if (state == "passed") passed++
  name = ""
}

FNR == 1 {
  finish_case()
  program = FILENAME; sub(/.*\//, "", program); sub(/\.xml$/, "", program)
  junit = (program == "ctest_junit")
  if (!junit) reported[program] = 1
}

/<testcase / {
  finish_case()
  name = attribute($0, "name"); state = "passed"; reason = ""
  if (junit) {
    status = attribute($0, "status")
    # Its cases are counted from its own file, unless the program died after writing one.
    if (name in reported) { if (status == "fail" && !(name in failing)) state = "failed"; else name = "" }
    else if (status == "fail") state = "failed"
    else if (status != "run") { state = "skipped"; reason = "not run by ctest" }
    if (name != "" && state == "failed") name = name " (the program as a whole; see its output above)"
  } else {
    if (attribute($0, "status") == "notrun") { state = "skipped"; reason = "disabled" }
    if (attribute($0, "result") == "skipped") state = "skipped"
    name = attribute($0, "classname") "." name
  }
}
!junit && /<failure/ { state = "failed"; failing[program] = 1 }
!junit && /<skipped/ { state = "skipped"; reason = plain(attribute($0, "message")) }

END {
  finish_case()
  if (skip_count) print "skipped:"
  for (i = 1; i <= skip_count; i++) print "  " skips[i]
  if (bads) print "failed:"
  for (i = 1; i <= bads; i++) print "  " bad[i]
  printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
  exit (failed > 0 || passed == 0) ? 1 : 0
}
