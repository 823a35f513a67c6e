#!/bin/sh
# Runs each fuzz target of the module for FUZZTIME; the first crash ends the run and leaves its input in testdata.
set -eu
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-20s}
run=0
for file in $(grep -rlE '^func Fuzz[A-Za-z0-9_]+\(f \*testing\.F\)' --include='*_test.go' .); do
	dir=$(dirname "$file")
	for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(f \*testing\.F\).*/\1/p' "$file"); do
		printf '== %s %s for %s\n' "$dir" "$target" "$FUZZTIME"
		"$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "$dir"
		run=$((run + 1))
	done
done
if [ "$run" -eq 0 ]; then
	echo 'no fuzz target was found: run this from the top of the repository' >&2
	exit 1
fi
printf '%d fuzz targets ran for %s each\n' "$run" "$FUZZTIME"
