package command

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidegate/tidegate/balancer"
	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/demo"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/version"
	"github.com/tidegate/tidegate/socket"
	"github.com/tidegate/tidegate/webhook"
)

// decisionPoll is how often the scaler reads decisions besides their announcements.
const decisionPoll = 2 * time.Second

type socketCommand struct {
	socket.Options `embed:""`
}

// Run is the node process.
func (c *socketCommand) Run(p *process) error {
	p.logger.Info("starting", slog.String(logkey.Version, version.String()), slog.String(logkey.Fleet, c.Fleet.String()))
	return socket.Run(p.ctx, c.Options, p.logger)
}

type balancerCommand struct {
	balancer.Options `embed:""`
}

// Run is the balancer process.
func (c *balancerCommand) Run(p *process) error {
	p.logger.Info("starting", slog.String(logkey.Version, version.String()))
	return balancer.Run(p.ctx, c.Options, p.logger)
}

type scalerCommand struct {
	Scaler externalscaler.Options `embed:""`
	Redis  redisconn.Options      `embed:""`
}

// Run is the scaler process.
func (c *scalerCommand) Run(p *process) error {
	if err := checked(c.Scaler.Validate(), c.Redis.Validate()); err != nil {
		return err
	}
	p.logger.Info("starting", slog.String(logkey.Version, version.String()))
	client, err := redisconn.Open(c.Redis)
	if err != nil {
		return fmt.Errorf("open Redis: %w", err)
	}
	follower := decisions.Follow(p.ctx, client, c.Redis.Timeout, decisionPoll, p.logger)
	closeRedis := sync.OnceValue(func() error {
		follower.Wait()
		return client.Close()
	})
	err = externalscaler.Run(p.ctx, c.Scaler, follower, p.logger)
	if p.ctx.Err() == nil {
		// The server failed while the process was to go on: the follower has no reason to end.
		return err
	}
	if closeErr := closeRedis(); err == nil && closeErr != nil {
		return fmt.Errorf("close Redis: %w", closeErr)
	}
	return err
}

type webhookCommand struct {
	webhook.Options `embed:""`
}

// Run is the webhook process.
func (c *webhookCommand) Run(p *process) error {
	if err := checked(c.Validate()); err != nil {
		return err
	}
	p.logger.Info("starting", slog.String(logkey.Version, version.String()))
	return webhook.Run(p.ctx, c.Options, p.logger)
}

type demoCommand struct {
	demo.Options `embed:""`
}

// Run is the demo.
func (c *demoCommand) Run(p *process) error {
	return demo.Run(p.ctx, c.Options, p.out)
}
