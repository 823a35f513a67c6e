#!/bin/sh
# e2e.sh REGEXP TIMEOUT: brings the cluster up, loads this build's image and runs the end-to-end tests that match, inside the
# cluster's network. The cluster stays up afterwards: make cluster-down ends it.
set -eu
GO=${GO:-go}
CGO_ENABLED=0 "$GO" test -c -trimpath -tags e2e -o bin/e2e.test ./hack/e2e
bin/cluster up --profile "${PROFILE:-default}"
bin/cluster load-image --binary bin/tidegate --name docker.io/local/tidegate:dev --entrypoint /tidegate
bin/cluster load-image --nginx --name docker.io/local/nginx:dev
exec bin/cluster exec -- "$PWD/bin/e2e.test" -test.v -test.failfast -test.count "${COUNT:-1}" -test.timeout "$2" -test.run "$1"
