//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tidegate/tidegate/internal/redisconn"
)

// namespace is where the overlay installs the product, and where the stories make their fleets.
const namespace = "tidegate"

// The Deployments of the product.
const (
	socketName   = "socket"
	balancerName = "tidegate-balancer"
	scalerName   = "tidegate-scaler"
	webhookName  = "tidegate-webhook"
	gatewayName  = "tidegate-gateway"
)

// shipped are the Deployments that the overlay installs.
func shipped() []string {
	return []string{socketName, balancerName, scalerName, webhookName, gatewayName}
}

var scaledObjects = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}

// cluster is the machine's Kubernetes and what stands beside it.
type cluster struct {
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	config  *rest.Config
	redis   redis.UniversalClient
	web     *http.Client
	warned  *warnings
	about   about
	// described is the file that hack/cluster writes of itself.
	described string
	reserved  *os.File
}

// about is what cluster.json of hack/cluster tells.
type about struct {
	Kubeconfig string         `json:"kubeconfig"`
	Redis      string         `json:"redis"`
	Kafka      string         `json:"kafka"`
	DNS        string         `json:"dns"`
	AuditLog   string         `json:"auditLog"`
	RedisData  string         `json:"redisData"`
	PIDs       map[string]int `json:"pids"`
}

func openCluster() (*cluster, error) {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return nil, errors.New("KUBECONFIG is not set: run this binary by `go run ./hack/cluster exec -- bin/e2e.test`")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	// The suite plays fifty fleets' kubelet: client-go's own limits are made for one controller.
	config.QPS, config.Burst = 500, 1000
	c := &cluster{config: config, warned: &warnings{}, described: os.Getenv("TIDEGATE_CLUSTER")}
	config.WarningHandler = c.warned
	if c.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("open the API server: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("open the API server: %w", err)
	}
	if err := c.refresh(); err != nil {
		return nil, err
	}
	if c.redis, err = redisconn.Open(redisconn.Options{Addrs: []string{c.about.Redis}, Timeout: time.Second}); err != nil {
		return nil, fmt.Errorf("open Redis: %w", err)
	}
	c.web = &http.Client{Transport: &http.Transport{DialContext: c.dial(nil), MaxIdleConnsPerHost: 16}, Timeout: 10 * time.Second}
	return c, nil
}

// refresh reads cluster.json again: pids change when a component is started anew.
func (c *cluster) refresh() error {
	body, err := os.ReadFile(c.described)
	if err != nil {
		return fmt.Errorf("read what hack/cluster tells of itself: %w", err)
	}
	c.about = about{}
	if err := json.Unmarshal(body, &c.about); err != nil {
		return fmt.Errorf("read cluster.json: %w", err)
	}
	return nil
}

// kubectl runs the cluster's own kubectl and returns what it printed.
func (c *cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	command := exec.CommandContext(ctx, "kubectl", args...)
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return out.String(), nil
}

// ready waits until every Deployment of the product runs what it should, and nothing else.
func (c *cluster) ready(ctx context.Context) error {
	return poll(ctx, func() error {
		for _, name := range shipped() {
			if err := c.whole(ctx, namespace, name); err != nil {
				return err
			}
		}
		// KEDA must have reached the scaler, or nothing that follows means anything.
		object, err := c.dynamic.Resource(scaledObjects).Namespace(namespace).Get(ctx, socketName, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("read the shipped ScaledObject: %w", err)
		}
		return condition(object.Object, "Ready", "True")
	})
}

// condition says whether a condition of an object's status has a value.
func condition(object map[string]any, kind, want string) error {
	status, _ := object["status"].(map[string]any)
	list, _ := status["conditions"].([]any)
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == kind {
			if c["status"] != want {
				return fmt.Errorf("condition %s is %v: %v", kind, c["status"], c["message"])
			}
			return nil
		}
	}
	return fmt.Errorf("there is no condition %s", kind)
}

// warnings keeps the API server's warnings, as kubectl would print them.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader is called by client-go for each warning of each answer.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

// take returns the warnings since it was last called.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}

// below is a path inside the repository; an absolute one stays as it is.
func (s *settings) below(parts ...string) string {
	path := filepath.Join(parts...)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.root, path)
}

// tries is how often a condition is looked at.
const tries = 100 * time.Millisecond

// poll calls the condition until it returns nil; when ctx ends first the condition's last problem is the error.
func poll(ctx context.Context, condition func() error) error {
	ticker := time.NewTicker(tries)
	defer ticker.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", err)
		case <-ticker.C:
		}
	}
}

// eventually waits for a condition; the story ends when it does not come true. It returns how long that took.
func eventually(t *testing.T, within time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := poll(ctx, condition); err != nil {
		t.Fatalf("%s: within %s: %v", what, within, err)
	}
	return time.Since(began)
}

// always watches a condition for a time; the story ends when it is broken.
func always(t *testing.T, during time.Duration, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	ticker := time.NewTicker(tries)
	defer ticker.Stop()
	for {
		if err := condition(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// deadline is a context that outlives the story: what was changed must be changed back.
func deadline(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
