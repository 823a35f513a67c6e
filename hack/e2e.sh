#!/bin/sh
# e2e.sh REGEXP TIMEOUT: brings the cluster up, loads this build's image and runs the end-to-end tests that match, inside the
# cluster's network. The cluster stays up afterwards: make cluster-down ends it. FRESH=yes begins with an empty one,
# PROFILE=no-tolerance with an autoscaler that ignores small steps, E2E holds further flags of the tests.
set -eu
GO=${GO:-go}
[ "${CLUSTER:-local}" = local ] || { echo 'the end-to-end tests need the local cluster: unset CLUSTER' >&2; exit 2; }
profile=${PROFILE:-default}
overlay=manifests/overlays/local
[ "$profile" = default ] || overlay=manifests/overlays/local-$profile
CGO_ENABLED=0 "$GO" test -c -trimpath -tags e2e -o bin/e2e.test ./hack/e2e
bin/cluster up ${FRESH:+--fresh} --profile "$profile"
bin/cluster load-image --binary bin/tidegate --name docker.io/local/tidegate:dev --entrypoint /tidegate
bin/cluster load-image --nginx --name docker.io/local/nginx:dev
# shellcheck disable=SC2086 # further flags are meant to split
exec bin/cluster exec -- "$PWD/bin/e2e.test" -overlay "$overlay" ${E2E:-} \
	-test.v -test.failfast -test.count "${COUNT:-1}" -test.timeout "$2" -test.run "$1"
