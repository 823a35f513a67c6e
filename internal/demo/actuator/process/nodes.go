// Package process runs the demo's nodes as child processes and does to them what a kubelet does to pods:
// probes their readiness, and ends them by preStop, SIGTERM and, when the grace period is over, SIGKILL.
package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/demo/actuator"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// Launch says how one node is started.
type Launch struct {
	// Args are the arguments after the executable's name.
	Args []string
	// Env is added to the environment of this process, "NAME=value" each.
	Env []string
	// Admin is the base URL of the node's admin port, such as http://127.0.0.1:9001.
	Admin string
}

// Config is how nodes are run.
type Config struct {
	// Command builds the launch of a node; nonce is what the node must ask of whoever drains it.
	Command func(id fleet.NodeID, nonce string) (Launch, error)
	// Prefix begins the name of each node; a number follows.
	Prefix string
	// LogDir is an existing folder; each node writes what it prints to <node>.log in it.
	LogDir string
	// Executable is the program to run; empty is the running one.
	Executable string
	// Grace is the pod's terminationGracePeriodSeconds: from the order to end until SIGKILL. 0 is 330 s.
	Grace time.Duration
	// Probe is the period of the readiness probe; 0 is 500 ms.
	Probe  time.Duration
	Now    func() time.Time
	Logger *slog.Logger
}

const (
	defaultGrace = 330 * time.Second
	defaultProbe = 500 * time.Millisecond
	// maxExits bounds the exits that are remembered; the oldest half goes.
	maxExits = 4096
)

var errStopped = errors.New("the nodes are being stopped: no new one is started")

// Exit is the end of one node.
type Exit struct {
	ID     fleet.NodeID
	At     time.Time
	Uptime time.Duration
	// Code is the exit code, -1 when a signal ended the process; Status says it in words.
	Code   int
	Status string
	// Asked says that somebody wanted the node to end.
	Asked bool
	// Forced says that the grace period ran out and SIGKILL ended it.
	Forced bool
	// Drain is how long its preStop took; 0 without one.
	Drain time.Duration
}

// Nodes are child processes. It implements actuator.Nodes and is safe for concurrent use.
type Nodes struct {
	c        Config
	client   *http.Client
	launcher *launcher
	// life ends last and takes with it what nothing else ended.
	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu       sync.Mutex
	counter  int
	closed   bool
	children map[fleet.NodeID]*child
	exits    []Exit
	changed  chan struct{}
}

// New checks a configuration; Stop must be called in the end, and waits for every child.
func New(c Config) (*Nodes, error) {
	if c.Command == nil || c.Now == nil || c.Logger == nil {
		return nil, errors.New("process: command, now and logger are needed: one is missing")
	}
	if err := fleet.NodeID(c.Prefix + "-1").Validate(); err != nil {
		return nil, fmt.Errorf("process: prefix is %q: %w", c.Prefix, err)
	}
	if info, err := os.Stat(c.LogDir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("process: log folder is %q: give a folder that exists", c.LogDir)
	}
	if c.Grace < 0 || c.Probe < 0 {
		return nil, fmt.Errorf("process: grace is %v and probe %v: give positive durations, or 0 for the defaults", c.Grace, c.Probe)
	}
	if c.Executable == "" {
		own, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("process: the running program cannot be named, give an executable: %w", err)
		}
		c.Executable = own
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Probe == 0 {
		c.Probe = defaultProbe
	}
	life, end := context.WithCancel(context.Background())
	return &Nodes{
		c: c, launcher: newLauncher(), life: life, end: end,
		client:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		children: map[fleet.NodeID]*child{}, changed: make(chan struct{}),
	}, nil
}

// Start begins a new node. An error means that there is none.
func (n *Nodes) Start(context.Context) (fleet.NodeID, error) {
	id, err := n.name()
	if err != nil {
		return "", err
	}
	nonce := rand.Text()
	launch, err := n.c.Command(id, nonce)
	if err != nil {
		return "", fmt.Errorf("node %s: build its command: %w", id, err)
	}
	c := &child{id: id, admin: strings.TrimSuffix(launch.Admin, "/"), nonce: nonce}
	c.life, c.over = context.WithCancel(context.Background())
	if err := n.launch(c, launch); err != nil {
		c.over()
		return "", fmt.Errorf("node %s: %w", id, err)
	}
	return id, nil
}

func (n *Nodes) name() (fleet.NodeID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return "", errStopped
	}
	n.counter++
	return fleet.NodeID(n.c.Prefix + "-" + strconv.Itoa(n.counter)), nil
}

// Running lists the nodes whose process lives, oldest first.
func (n *Nodes) Running() []actuator.NodeHandle {
	n.mu.Lock()
	defer n.mu.Unlock()
	handles := make([]actuator.NodeHandle, 0, len(n.children))
	for _, c := range n.children {
		handles = append(handles, actuator.NodeHandle{ID: c.id, StartedAt: c.started, Ready: c.ready})
	}
	slices.SortFunc(handles, func(a, b actuator.NodeHandle) int { return a.StartedAt.Compare(b.StartedAt) })
	return handles
}

// Changed is closed when a node starts, ends, or becomes ready or unready for the next time.
func (n *Nodes) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// Exits lists the nodes that ended, oldest first.
func (n *Nodes) Exits() []Exit {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.exits)
}

// LongestDrain is the longest time that a node's preStop took.
func (n *Nodes) LongestDrain() time.Duration {
	var longest time.Duration
	for _, e := range n.Exits() {
		longest = max(longest, e.Drain)
	}
	return longest
}

// Kill ends a node by SIGKILL without a word, as kill -9 would.
func (n *Nodes) Kill(id fleet.NodeID) error {
	c, err := n.find(id)
	if err != nil {
		return err
	}
	n.c.Logger.Warn("a node is killed on purpose", slog.String(logkey.Node, string(id)))
	return c.kill()
}

// Stop ends every node: SIGTERM to all, SIGKILL to those that live when ctx ends. It returns when all are gone;
// an error names those that had to be killed. No node can be started afterwards; a second call only waits.
func (n *Nodes) Stop(ctx context.Context) error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		n.tasks.Wait()
		return nil
	}
	n.closed = true
	left := make([]*child, 0, len(n.children))
	for _, c := range n.children {
		c.asked = true
		left = append(left, c)
	}
	n.mu.Unlock()
	for _, c := range left {
		c.terminate()
	}
	var forced []error
	for _, c := range left {
		select {
		case <-c.life.Done():
		case <-ctx.Done():
			if n.force(c) {
				forced = append(forced, fmt.Errorf("node %s did not end in time and was killed", c.id))
			}
			<-c.life.Done()
		}
	}
	n.end()
	n.tasks.Wait()
	n.launcher.stop()
	return errors.Join(forced...)
}

func (n *Nodes) find(id fleet.NodeID) (*child, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.children[id]
	if !ok {
		return nil, fmt.Errorf("node %s does not run", id)
	}
	return c, nil
}

// change tells those who wait for Changed; the caller holds the lock.
func (n *Nodes) change() {
	close(n.changed)
	n.changed = make(chan struct{})
}
