#!/bin/sh
# test.sh SEED [go test flags] PACKAGES: runs the tests; the property tests start from SEED (0: a random one).
# Only packages that import rapid know its flag, so there are two runs, of which the second also happens when the
# first failed.
set -u
seed=$1
shift
GO=${GO:-go}
flags=
while [ $# -gt 0 ]; do
	case $1 in
	-timeout | -run | -count) flags="$flags $1 $2"; shift 2 ;;
	-*) flags="$flags $1"; shift ;;
	*) break ;;
	esac
done
all=$("$GO" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.TestImports}} {{.XTestImports}}{{end}}' "$@") || exit 1
with=$(printf '%s\n' "$all" | grep 'pgregory.net/rapid' | cut -d' ' -f1)
without=$(printf '%s\n' "$all" | grep -v 'pgregory.net/rapid' | cut -d' ' -f1)
status=0
# shellcheck disable=SC2086 # the lists are meant to split
if [ -n "$without" ]; then "$GO" test $flags $without || status=1; fi
# shellcheck disable=SC2086 # the lists are meant to split
if [ -n "$with" ]; then "$GO" test $flags $with -rapid.seed="$seed" || status=1; fi
exit $status
