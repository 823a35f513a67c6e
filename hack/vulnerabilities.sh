#!/bin/sh
# Runs govulncheck: fails when the code calls something known to be vulnerable. A machine that cannot reach
# the vulnerability database is told so in words; it has not been checked, and that is not the code's fault.
set -u
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$@" >"$out" 2>&1
status=$?
cat "$out"
if [ "$status" -ne 0 ] && grep -q 'fetching vulnerabilities' "$out"; then
	echo 'WARNING: vulnerabilities NOT CHECKED: the database cannot be reached from here'
	exit 0
fi
exit "$status"
