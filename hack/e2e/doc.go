// Package e2e is the end-to-end suite: stories told on a real API server, controllers, HPA, kubelet, KEDA, Redis and
// Kafka, with real clients and a ledger of their messages.
//
// Everything is behind the build tag e2e and in test files. The test binary runs inside the cluster's network, installs
// manifests/overlays/local and tells its stories on fleets of its own, made after the shipped one:
//
//	CGO_ENABLED=0 go test -c -tags e2e -o bin/e2e.test ./hack/e2e
//	go run ./hack/cluster exec -- bin/e2e.test -test.v -test.run '^TestShort'
//
// TestShort stories run with every change, TestFull and TestFault before a release, TestProfile on the cluster profile
// they name. Times are reported as figures at the end of the output; no story fails because it was slow, but that pushed
// decisions land sooner than polled ones is asserted. At the end of every run the audit log is judged: nobody but the HPA and
// the stories' own hand wrote a replica count.
//
// A run sweeps what an earlier one left (label tidegate.dev/story) and starts anew what runs an older image of the same name;
// meanwhile a lock beside cluster.json refuses other runs. With -install=false several may go on side by side.
package e2e
