// Package debian finds the programs that the cluster takes from the system, and installs those that are missing.
package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Need is a program and the Debian package that brings it.
type Need struct {
	// Program is a name to look for in PATH, or an absolute path.
	Program string
	Package string
}

// Running are the programs that a running cluster uses.
func Running() []Need {
	return []Need{
		{"runc", "runc"},
		{"/usr/lib/cni/ptp", "containernetworking-plugins"},
		{"nft", "nftables"},
		{"conntrack", "conntrack"},
		{"ip", "iproute2"},
		{"nsenter", "util-linux"},
		{"mount", "mount"},
		{"redis-server", "redis-server"},
		{"java", "default-jre-headless"},
	}
}

// Maven fetches Kafka.
func Maven() Need { return Need{"mvn", "maven"} }

// Nginx is what the gateway's image is made from.
func Nginx() Need { return Need{"/usr/sbin/nginx", "nginx-light"} }

// Missing returns the packages of the programs that are not there.
func Missing(needs []Need) []string {
	var packages []string
	for _, need := range needs {
		if _, err := exec.LookPath(need.Program); err != nil && !slices.Contains(packages, need.Package) {
			packages = append(packages, need.Package)
		}
	}
	return packages
}

// Ensure installs what is missing. On another system, or without root, the error says what to install.
func Ensure(ctx context.Context, needs []Need, out io.Writer) error {
	packages := Missing(needs)
	if len(packages) == 0 {
		return nil
	}
	list := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("programs of these Debian packages are missing: %s; install them (on Debian as root this command does it)", list)
	}
	fmt.Fprintf(out, "  installing   %s\n", list) //nolint:errcheck // progress is a courtesy
	return unstarted(policy, func() error {
		if err := apt(ctx, "update", "-qq"); err != nil {
			return err
		}
		return apt(ctx, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)...)
	})
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...) //nolint:gosec // the packages are constants of this package
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// policy is the file by which Debian asks whether an installed service may start.
const policy = "/usr/sbin/policy-rc.d"

// unstarted runs an installation that starts no services: Redis must not take the machine's port 6379.
func unstarted(policy string, install func() error) error {
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // Debian runs this file
	if errors.Is(err, fs.ErrExist) {
		// The machine has a policy of its own, which is not ours to change.
		return install()
	}
	if err != nil {
		return fmt.Errorf("forbid services to start while they are installed: %w", err)
	}
	_, errWrite := file.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(errWrite, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", policy, err), os.Remove(policy))
	}
	return errors.Join(install(), os.Remove(policy))
}
