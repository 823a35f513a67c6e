package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tidegate/tidegate/balancer"
	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/demo/actuator"
	"github.com/tidegate/tidegate/internal/demo/actuator/process"
	"github.com/tidegate/tidegate/internal/demo/swarm"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/ledger"
	"github.com/tidegate/tidegate/internal/listen"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/token"
	"github.com/tidegate/tidegate/socket/client"
)

// theFleet is the demo's only fleet.
func theFleet() fleet.ID { return fleet.ID{Namespace: "demo", Name: "chat"} }

// town is everything that runs during a demo.
type town struct {
	o        Options
	dir      string
	logger   *slog.Logger
	embedded *embedded
	secrets  *credentials
	balancer balancer.Options
	scaler   externalscaler.Options
	redis    redisconn.Options
	kafka    kafka.Options
	nodes    *process.Nodes
	actuator *actuator.Actuator
	book     *ledger.Ledger
	swarm    *swarm.Swarm
	web      *http.Client
	dial     *grpc.ClientConn
}

// newTown starts the embedded servers and prepares the rest; open starts it.
func newTown(ctx context.Context, o Options, dir string, logs io.Writer) (*town, error) {
	t := &town{o: o, dir: dir, logger: slog.New(slog.NewTextHandler(logs, nil)), book: ledger.New()}
	var err error
	if t.secrets, err = newCredentials(dir); err != nil {
		return nil, err
	}
	if t.embedded, err = startEmbedded(); err != nil {
		return nil, err
	}
	t.redis = redisconn.Options{Addrs: []string{t.embedded.redis.Addr()}, Timeout: time.Second}
	t.kafka = kafka.Options{Brokers: t.embedded.kafka.ListenAddrs(), ClientID: "tidegate-demo", Timeout: 3 * time.Second}
	if err := t.prepare(ctx); err != nil {
		t.embedded.close()
		return nil, err
	}
	return t, nil
}

func (t *town) prepare(ctx context.Context) error {
	rulesFile, err := writeRules(t.dir, rules(t.o.Clients))
	if err != nil {
		return err
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return err
	}
	page := ports[2]
	if t.o.Port != 0 {
		setting := listen.Setting{Flag: "--port", Env: "TIDEGATE_DEMO_PORT", Address: "127.0.0.1:" + strconv.Itoa(t.o.Port)}
		taken, err := setting.Open(ctx)
		if err != nil {
			return err
		}
		page = taken.Addr().String()
		if err := taken.Close(); err != nil {
			return fmt.Errorf("free the page's port: %w", err)
		}
	}
	t.balancer = balancer.Options{
		Listen: page, AdminListen: ports[0], ID: "demo-balancer", Redis: t.redis, Kafka: t.kafka,
		Token: token.Options{JWTSecretFile: t.secrets.secretFile}, Audit: true, PolicyFile: rulesFile, Shards: shards,
		Interval: heartbeat, ProbeTimeout: 500 * time.Millisecond, Election: "redis", LeaseDuration: 3 * time.Second,
	}
	t.scaler = externalscaler.DefaultOptions()
	t.scaler.Listen, t.scaler.AdminListen = ports[1], ""
	t.web = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.swarm = swarm.New(swarm.Options{
		Resolve: client.HTTPResolver(t.web, "http://"+page), Token: t.secrets.mint, Book: t.book, HTTP: t.web,
		Seed: t.o.Seed, Logger: t.logger,
	})
	if t.nodes, err = process.New(process.Config{
		Command: t.launch, Prefix: "socket", LogDir: t.dir, Grace: grace, Probe: 250 * time.Millisecond, Now: time.Now, Logger: t.logger,
	}); err != nil {
		return fmt.Errorf("prepare the nodes: %w", err)
	}
	return t.prepareActuator()
}

func (t *town) prepareActuator() error {
	dial, err := grpc.NewClient("passthrough:///"+t.scaler.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("reach the scaler: %w", err)
	}
	t.dial = dial
	id := theFleet()
	t.actuator, err = actuator.New(actuator.Config{
		Scaler:   pb.NewExternalScalerClient(dial),
		Object:   &pb.ScaledObjectRef{Name: id.Name, Namespace: id.Namespace, ScalerMetadata: metadata()},
		HPA:      hpa.Shipped(2, mostNodes),
		Replicas: 2, Nodes: t.nodes,
		Victims: actuator.NewHTTPVictims("http://"+t.balancer.AdminListen, id, t.web),
		Sync:    sync, PushRetry: 500 * time.Millisecond, Now: time.Now, Logger: t.logger,
	})
	if err != nil {
		return fmt.Errorf("prepare the actuator: %w", err)
	}
	return nil
}

// run keeps everything running until ctx ends, or until a part fails.
func (t *town) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		t.embedded.tick(ctx)
		return nil
	})
	group.Go(func() error {
		return balancer.Run(ctx, t.balancer, t.logger.With(slog.String("component", "balancer")))
	})
	group.Go(func() error { return t.runScaler(ctx) })
	group.Go(func() error { return t.actuator.Run(ctx) })
	group.Go(func() error {
		t.swarm.Run(ctx)
		return nil
	})
	return group.Wait()
}

func (t *town) runScaler(ctx context.Context) error {
	logger := t.logger.With(slog.String("component", "scaler"))
	redis, err := redisconn.Open(t.redis)
	if err != nil {
		return fmt.Errorf("open Redis for the scaler: %w", err)
	}
	// A context of its own, so that the follower ends also when the server fails.
	followCtx, stop := context.WithCancel(ctx)
	follower := decisions.Follow(followCtx, redis, t.redis.Timeout, time.Second, logger)
	err = externalscaler.Run(ctx, t.scaler, follower, logger)
	stop()
	follower.Wait()
	return errors.Join(err, redis.Close())
}

// close ends the nodes and the embedded servers, after run has returned.
func (t *town) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := errors.Join(t.nodes.Stop(ctx), t.dial.Close())
	t.web.CloseIdleConnections()
	t.embedded.close()
	return err
}

// launch is the command line of one node: the real `tidegate socket`.
func (t *town) launch(id fleet.NodeID, nonce string) (process.Launch, error) {
	ports, err := freePorts(context.Background(), 1)
	if err != nil {
		return process.Launch{}, err
	}
	return process.Launch{
		Args: []string{
			"socket", "--fleet=" + theFleet().String(), "--node=" + string(id),
			"--addr=127.0.0.1:0", "--admin-addr=" + ports[0],
			"--redis-addr=" + t.redis.Addrs[0], "--kafka-broker=" + t.kafka.Brokers[0],
			"--jwt-secret-file=" + t.secrets.secretFile, "--resume-key-file=" + t.secrets.ringFile,
			"--shards=" + strconv.Itoa(shards), "--resume-window=1m",
			"--cpu-limit=" + nodeCPU, "--memory-limit=" + nodeMemory, "--heartbeat-interval=" + heartbeat.String(),
			"--drain-timeout=" + drainTimeout.String(), "--drain-patience=3s", "--shutdown-timeout=5s",
		},
		Env:   []string{"TIDEGATE_DRAIN_NONCE=" + nonce},
		Admin: "http://" + ports[0],
	}, nil
}

// freePorts finds addresses on loopback that nobody listens on.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var config net.ListenConfig
	addresses := make([]string, n)
	for i := range addresses {
		listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close() //nolint:errcheck // it was only opened to learn a free port
		addresses[i] = listener.Addr().String()
	}
	return addresses, nil
}

// newDir makes the folder of the demo's secrets and logs.
func newDir() (dir string, logs *os.File, err error) {
	if dir, err = os.MkdirTemp("", "tidegate-demo-"); err != nil {
		return "", nil, fmt.Errorf("make a folder for the demo: %w", err)
	}
	if logs, err = os.Create(filepath.Join(dir, "demo.log")); err != nil { //nolint:gosec // the folder is ours
		return "", nil, fmt.Errorf("make the demo's log: %w", err)
	}
	return dir, logs, nil
}
