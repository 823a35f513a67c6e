// Package part builds the programs that the cluster runs from their Go modules, once a version.
package part

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/hack/cluster/place"
)

// Part is one module of hack/cluster/parts.
type Part struct {
	Name string
	// target is what to build in the module: "tool" for its tool lines, "." for its own main package.
	target string
	// stamp is what the linker writes into the programs: without it Kubernetes reports a version that nobody can parse.
	stamp string
	// tool fetches the part when it is not a Go module.
	tool func(ctx context.Context, module, into string) *exec.Cmd
}

// All are the cluster's parts, the quickest to build first.
func All() []Part {
	const kubernetes = "k8s.io/component-base/version."
	return []Part{
		{Name: "pause", target: "."},
		{Name: "kafka", tool: maven},
		{Name: "etcd", target: "tool"},
		{Name: "coredns", target: "."},
		{Name: "containerd", target: "tool", stamp: "-X github.com/containerd/containerd/v2/version.Version=2.4.2"},
		{Name: "kubernetes", target: "tool", stamp: "-X " + kubernetes + "gitVersion=v1.37.2 -X " + kubernetes + "gitMajor=1 -X " + kubernetes + "gitMinor=37"},
		{Name: "keda", target: "tool", stamp: "-X github.com/kedacore/keda/v2/version.Version=2.21.0"},
	}
}

// arguments are those of the compiler; the folder for the result follows -o.
func (p Part) arguments(into string) []string {
	return []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w " + p.stamp, "-o", into + "/", p.target}
}

// Folder is where the built part is or will be. Its name covers everything that the result depends on.
func (p Part) Folder(ctx context.Context, at place.Place) (string, error) {
	compiler, err := p.compiler(ctx, at)
	if err != nil {
		return "", err
	}
	hash, err := p.hash(os.DirFS(at.Parts(p.Name)), compiler)
	if err != nil {
		return "", err
	}
	return filepath.Join(at.Bin(), p.Name+"-"+hash), nil
}

// Ready reports whether a folder holds a finished part.
func Ready(folder string) bool {
	_, err := os.Stat(folder)
	return err == nil
}

// compiler names the Go version and platform that the part's module selects.
func (p Part) compiler(ctx context.Context, at place.Place) (string, error) {
	if p.tool != nil {
		return "", nil
	}
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH")
	cmd.Dir = at.Parts(p.Name)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask for the Go version of part %s: %w", p.Name, err)
	}
	return strings.Join(strings.Fields(string(out)), " "), nil
}

// hash covers the module's files, the compiler and its flags.
func (p Part) hash(module fs.FS, compiler string) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%q\n", compiler, p.arguments("")) //nolint:errcheck // a hash takes everything
	seen := 0
	for _, name := range []string{"go.mod", "go.sum", "main.go", "pom.xml"} {
		text, err := fs.ReadFile(module, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read part %s: %w", p.Name, err)
		}
		seen++
		fmt.Fprintf(sum, "%s %d\n", name, len(text)) //nolint:errcheck // a hash takes everything
		sum.Write(text)
	}
	if seen == 0 {
		return "", fmt.Errorf("part %s has no module in hack/cluster/parts/%s", p.Name, p.Name)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// Build makes the part unless it is there, telling its progress to out.
func (p Part) Build(ctx context.Context, at place.Place, out io.Writer) (folder string, err error) {
	folder, err = p.Folder(ctx, at)
	if err != nil || Ready(folder) {
		return folder, err
	}
	// Finished parts only ever appear whole: an interrupted build leaves nothing that looks like one.
	unfinished := folder + ".unfinished"
	if err := errors.Join(os.RemoveAll(unfinished), os.MkdirAll(unfinished, 0o755)); err != nil { //nolint:gosec // programs are for everyone on this machine
		return "", fmt.Errorf("make room for part %s: %w", p.Name, err)
	}
	cmd := p.command(ctx, at.Parts(p.Name), unfinished)
	if err := follow(cmd, p.Name, out); err != nil {
		return "", fmt.Errorf("build part %s: %w", p.Name, err)
	}
	if err := os.Rename(unfinished, folder); err != nil {
		return "", fmt.Errorf("finish part %s: %w", p.Name, err)
	}
	return folder, nil
}

func (p Part) command(ctx context.Context, module, into string) *exec.Cmd {
	if p.tool != nil {
		return p.tool(ctx, module, into)
	}
	// -v names each package that is compiled, which is the progress.
	cmd := exec.CommandContext(ctx, "go", slices.Insert(p.arguments(into), 1, "-v")...) //nolint:gosec // the arguments are constants of this package
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return cmd
}

// maven copies the jars of a Java server; it comes from no Go module.
func maven(ctx context.Context, module, into string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", //nolint:gosec // the folder is ours
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+into)
	cmd.Dir = module
	return cmd
}
