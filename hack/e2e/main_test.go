//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

// settings are the flags of the test binary besides the testing package's own.
type settings struct {
	root       string
	overlay    string
	artifacts  string
	screenshot string
	remove     bool
	install    bool
}

// suite is what all stories share: the cluster they run on and the figures they report.
type suite struct {
	settings settings
	cluster  *cluster
	figures  *figures
}

// town is the suite of this process; TestMain fills it before the first story begins.
var town suite

const installTimeout = 10 * time.Minute

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	s := &town.settings
	flag.StringVar(&s.root, "root", ".", "the repository")
	flag.StringVar(&s.overlay, "overlay", "manifests/overlays/local", "what to install, below -root")
	flag.StringVar(&s.artifacts, "artifacts", "bin/e2e", "folder for figures and, after a failure, dumps; below -root")
	flag.StringVar(&s.screenshot, "screenshot", "", "file to keep a picture of the status page in; empty keeps none")
	flag.BoolVar(&s.install, "install", true, "apply the overlay first; false takes what is there")
	flag.BoolVar(&s.remove, "remove", false, "delete the overlay at the end")
	flag.Parse()
	town.figures = newFigures()
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	if err := prepare(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	began := time.Now()
	code := m.Run()
	if err := town.cluster.onlyTheAutoscaler(context.Background(), began); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	if err := town.figures.publish(os.Stdout, town.settings.below(s.artifacts, "figures.txt")); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	if s.remove {
		if out, err := town.cluster.kubectl(context.Background(), "delete", "-k", s.below(s.overlay), "--wait=true"); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err, out)
			code = max(code, 1)
		}
	}
	return code
}

// prepare opens the cluster, removes what an earlier run left, installs the product and waits until it is ready.
func prepare(ctx context.Context) error {
	c, err := openCluster()
	if err != nil {
		return err
	}
	town.cluster = c
	if err := c.reserve(town.settings.install); err != nil {
		return err
	}
	if !town.settings.install {
		return c.ready(ctx)
	}
	if err := c.sweep(ctx); err != nil {
		return err
	}
	if err := c.install(ctx, town.settings.below(town.settings.overlay)); err != nil {
		fmt.Fprintln(os.Stderr, c.dump(context.WithoutCancel(ctx), namespace))
		return err
	}
	return nil
}
