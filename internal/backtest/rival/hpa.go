package rival

import (
	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/hpa"
)

// CPU is an HPA on CPU alone.
type CPU struct {
	sync    sync
	scrape  scrape
	targets Targets
}

// NewCPU is an HPA on CPU.
func NewCPU(t Targets) *CPU { return &CPU{sync: defaults(t), targets: t} }

// Order looks every sync period.
func (c *CPU) Order(w *world.World) world.Order {
	c.scrape.observe(w)
	if due(w) {
		c.sync.look(w.Clock(), w.Spec(), there(w), c.scrape.cpu(w, c.targets.CPU))
	}
	return standing(w, c.sync.asked)
}

// KEDA is an HPA on connections, as KEDA makes it of a Prometheus trigger; with both, CPU is a second metric.
type KEDA struct {
	sync    sync
	scrape  scrape
	targets Targets
	both    bool
}

// NewKEDA is KEDA on connections, or on CPU and connections.
func NewKEDA(t Targets, both bool) *KEDA {
	return &KEDA{sync: defaults(t), targets: t, both: both}
}

// Order looks every sync period.
func (k *KEDA) Order(w *world.World) world.Order {
	if k.both {
		k.scrape.observe(w)
	}
	if due(w) {
		metrics := []hpa.Metric{connections(w, k.targets.Connections)}
		if k.both {
			metrics = append(metrics, k.scrape.cpu(w, k.targets.CPU))
		}
		k.sync.look(w.Clock(), w.Spec(), there(w), metrics...)
	}
	return standing(w, k.sync.asked)
}

// standing asks for what was last asked for; before anybody looked that is what there is.
func standing(w *world.World, asked int) world.Order {
	if asked == 0 {
		asked = w.Spec()
	}
	return world.Order{Replicas: asked}
}
