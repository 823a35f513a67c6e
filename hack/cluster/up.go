package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/component"
	"github.com/tidegate/tidegate/hack/cluster/config"
	"github.com/tidegate/tidegate/hack/cluster/debian"
	"github.com/tidegate/tidegate/hack/cluster/graph"
	"github.com/tidegate/tidegate/hack/cluster/keda"
	"github.com/tidegate/tidegate/hack/cluster/kube"
	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/part"
	"github.com/tidegate/tidegate/hack/cluster/process"
	"github.com/tidegate/tidegate/hack/cluster/remains"
	"github.com/tidegate/tidegate/hack/image"
)

// startTimeout is how long the start may take once everything is built. It takes well under a minute.
const startTimeout = 4 * time.Minute

type upCommand struct {
	Fresh   bool   `help:"Begin with empty data: end what an earlier start left, also a cluster that runs. Built programs and images stay."`
	Profile string `enum:"default,no-tolerance" default:"default" help:"default, or no-tolerance: an API server without the HPA's tolerance field, as before 1.35."`
}

// Run builds and starts.
func (u upCommand) Run(s *session) error {
	if s.kind {
		return kindUp(s, u)
	}
	if err := rootOnly(); err != nil {
		return err
	}
	began := time.Now()
	unlock, err := lock(s)
	if err != nil {
		return err
	}
	defer unlock()
	folders, err := build(s)
	if err != nil {
		return err
	}
	built := time.Now()
	setup := component.Setup{Place: s.at, Profile: component.Profile(u.Profile), Folders: folders}
	ctx, cancel := context.WithTimeout(s.ctx, startTimeout)
	defer cancel()
	if err := start(ctx, s, setup, u.Fresh); err != nil {
		return err
	}
	s.say("The cluster is up: %s to start, %s in all. Use it with: go run ./hack/cluster exec -- kubectl get pods -A",
		time.Since(built).Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond))
	return nil
}

type buildCommand struct {
	List bool `help:"Show where each part belongs and whether it is there, and build nothing."`
}

// Run builds every part.
func (b buildCommand) Run(s *session) error {
	if b.List {
		for _, p := range part.All() {
			folder, err := p.Folder(s.ctx, s.at)
			if err != nil {
				return err
			}
			s.say("%-11s %-8t %s", p.Name, part.Ready(folder), folder)
		}
		return nil
	}
	unlock, err := lock(s)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = build(s)
	return err
}

// build installs what the system must bring, makes every part that is missing, and says where they are.
func build(s *session) (map[string]string, error) {
	folders := make(map[string]string)
	needs := debian.Running()
	for _, p := range part.All() {
		folder, err := p.Folder(s.ctx, s.at)
		if err != nil {
			return nil, err
		}
		if p.Name == "kafka" && !part.Ready(folder) {
			needs = append(needs, debian.Maven())
		}
		folders[p.Name] = folder
	}
	if err := debian.Ensure(s.ctx, needs, s.out); err != nil {
		return nil, err
	}
	for _, p := range part.All() {
		if _, err := p.Build(s.ctx, s.at, s.out); err != nil {
			return nil, err
		}
	}
	return folders, prune(s, folders)
}

// start brings up what is not up. What a broken start or a crash left is removed first, and with empty everything else too.
func start(ctx context.Context, s *session, setup component.Setup, empty bool) error {
	known, found, err := read(s.at)
	alive, errAlive := anyAlive(s)
	if err := errors.Join(err, errAlive); err != nil && !empty {
		return fmt.Errorf("%w; `up --fresh` begins anew", err)
	}
	goesOn, err := adopts(empty, found && known.Ready && alive && network.Exists(), known.Profile, setup.Profile)
	if err != nil {
		return err
	}
	if !goesOn {
		if err := fresh(ctx, s); err != nil {
			return err
		}
	}
	if err := describe(setup, goesOn); err != nil {
		return err
	}
	if err := graph.Run(ctx, steps(s, setup)); err != nil {
		return errors.Join(err, describe(setup, goesOn))
	}
	return describe(setup, true)
}

// adopts reports whether a start goes on with the cluster that is up, whole or in parts.
func adopts(empty, up bool, has, wants component.Profile) (bool, error) {
	if empty || !up {
		return false, nil
	}
	if has != wants {
		return false, fmt.Errorf("the cluster runs with profile %s: stop it first (make cluster-down), or begin anew with `up --fresh`", has)
	}
	return true, nil
}

// fresh removes every trace of an earlier cluster and prepares the network and the files of a new one.
func fresh(ctx context.Context, s *session) error {
	if err := remains.Clean(ctx, s.at); err != nil {
		return fmt.Errorf("clean up after an earlier cluster: %w", err)
	}
	if err := os.RemoveAll(s.at.Run("log")); err != nil {
		return fmt.Errorf("remove old logs: %w", err)
	}
	if err := remains.Claim(s.at); err != nil {
		return err
	}
	if err := remains.SaveSysctls(s.at); err != nil {
		return err
	}
	if err := network.Up(ctx); err != nil {
		return err
	}
	return config.Write(s.at.Run(), time.Now())
}

func anyAlive(s *session) (bool, error) {
	records, err := component.Book(s.at).All()
	for _, r := range records {
		if r.State() != process.Gone {
			return true, err
		}
	}
	return false, err
}

// steps are the components and what else belongs to a start.
func steps(s *session, setup component.Setup) []graph.Step {
	var all []graph.Step
	for _, c := range component.All() {
		all = append(all, graph.Step{Name: c.Name, Needs: c.Needs, Run: func(ctx context.Context) error {
			if _, err := c.Start(ctx, setup); err != nil {
				return err
			}
			return c.Await(ctx, setup)
		}})
	}
	all = append(all, moreSteps(setup)...)
	began, mutex := time.Now(), new(sync.Mutex)
	for i, step := range all {
		all[i].Run = func(ctx context.Context) error {
			if err := step.Run(ctx); err != nil {
				return err
			}
			mutex.Lock()
			defer mutex.Unlock()
			s.say("  %5.1fs  %s", time.Since(began).Seconds(), step.Name)
			return nil
		}
	}
	return all
}

// moreSteps are those that start no process of the machine.
func moreSteps(setup component.Setup) []graph.Step {
	const api, images, installed, node = "kube-apiserver", "keda images", "keda installed", "node ready"
	client := func() (kube.Client, error) { return kube.New(setup.Place) }
	return []graph.Step{
		{Name: component.StepPause, Needs: []string{"containerd"}, Run: func(ctx context.Context) error { return importPause(ctx, setup) }},
		{Name: component.StepAccess, Needs: []string{api}, Run: func(ctx context.Context) error {
			return kube.Kubectl(ctx, setup, "apply", "--server-side", "--force-conflicts", "-f", setup.Place.Run("access.yaml"))
		}},
		{Name: images, Needs: []string{component.StepPause}, Run: func(ctx context.Context) error {
			archives, err := keda.Images(setup.Place, setup.Folders["keda"])
			for _, archive := range archives {
				err = errors.Join(err, kube.Import(ctx, setup, archive))
			}
			return err
		}},
		{Name: installed, Needs: []string{api, images}, Run: func(ctx context.Context) error { return keda.Install(ctx, setup, time.Now()) }},
		{Name: node, Needs: []string{"kubelet"}, Run: func(ctx context.Context) error {
			c, err := client()
			if err != nil {
				return err
			}
			return c.Await(ctx, "/api/v1/nodes/"+config.NodeName, "Ready")
		}},
		{Name: "keda serves metrics", Needs: []string{installed, node, "kube-proxy", "coredns"}, Run: func(ctx context.Context) error {
			c, err := client()
			if err != nil {
				return err
			}
			return keda.Await(ctx, c)
		}},
	}
}

func importPause(ctx context.Context, setup component.Setup) error {
	folder := setup.Folders["pause"]
	archive := filepath.Join(setup.Place.Images(), filepath.Base(folder)+".tar")
	if _, err := os.Stat(archive); err != nil {
		if err := image.Binary(config.Pause, filepath.Join(folder, "pause"), "/pause").Write(archive); err != nil {
			return err
		}
	}
	return kube.Import(ctx, setup, archive)
}
