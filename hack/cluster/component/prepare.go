package component

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/remains"
)

// prepare makes what a component expects to find before its first start.
func prepare(ctx context.Context, name string, s Setup) error {
	switch name {
	case "redis":
		return os.MkdirAll(s.Place.Run("redis"), 0o700)
	case "kafka":
		return formatKafka(ctx, s)
	case "kubelet":
		return remains.MakeCgroups(network.Namespace)
	default:
		return nil
	}
}

// clusterID is any 16 bytes in base64, as Kafka wants it.
const clusterID = "dGlkZWdhdGUtbG9jYWwtMQ"

// formatKafka writes the broker's identity into its empty folder.
func formatKafka(ctx context.Context, s Setup) error {
	_, err := os.Stat(s.Place.Run("kafka", "data", "meta.properties"))
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := append(jvm(s), "kafka.tools.StorageTool", "format", "--cluster-id", clusterID, "--config", s.Place.Run("kafka", "kafka.properties"))
	if out, err := exec.CommandContext(ctx, "java", args...).CombinedOutput(); err != nil { //nolint:gosec // the arguments are ours
		return fmt.Errorf("format Kafka's storage: %w\n%s", err, out)
	}
	return nil
}
