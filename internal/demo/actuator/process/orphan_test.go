package process_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/tidegate/tidegate/internal/demo/actuator/process"
	"github.com/tidegate/tidegate/internal/fleet"
)

// parent runs an heir as the demo runs a node, and then waits to be killed.
func parent() int {
	nodes, err := process.New(process.Config{
		Prefix: "heir", LogDir: os.Getenv(envDir), Now: time.Now, Logger: slog.Default(),
		Command: func(fleet.NodeID, string) (process.Launch, error) {
			return process.Launch{Args: []string{"-test.run=^$"}, Env: []string{envKind + "=heir"}, Admin: "http://127.0.0.1:1"}, nil
		},
	})
	if err != nil {
		return 1
	}
	if _, err := nodes.Start(context.Background()); err != nil {
		return 1
	}
	select {}
}

// heir holds a connection to the test for as long as it lives.
func heir() int {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", os.Getenv(envAdmin))
	if err != nil {
		return 1
	}
	_, _ = conn.Write([]byte("alive"))
	select {}
}
