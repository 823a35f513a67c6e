package manifests_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheImageIsBuiltAsMakeBuildsTheBinary(t *testing.T) {
	docker := read(t, "../Dockerfile")
	symbol := regexp.MustCompile(`-X (\S+)=`).FindStringSubmatch(read(t, "../Makefile"))
	if symbol == nil || !strings.Contains(docker, "-X "+symbol[1]+"=$VERSION") {
		t.Errorf("the image's binary would not know its version: make sets %v", symbol)
	}
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if language == nil || !strings.Contains(docker, "golang:"+language[1]+" ") {
		t.Errorf("the image is not built with the Go of go.mod, %v", language)
	}
	for _, want := range []string{"CGO_ENABLED=0", "GOOS=$TARGETOS GOARCH=$TARGETARCH", "--platform=$BUILDPLATFORM", ":nonroot", "USER 65532:65532", `ENTRYPOINT ["/tidegate"]`} {
		if !strings.Contains(docker, want) {
			t.Errorf("the Dockerfile lacks %s", want)
		}
	}
}
