package command

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	controllerlog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tidegate/tidegate/internal/redisconn"
)

// logOptions say what is logged and how.
type logOptions struct {
	Level  string `env:"TIDEGATE_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error."`
	Format string `env:"TIDEGATE_LOG_FORMAT" default:"auto" enum:"auto,json,text" help:"json, text, or auto: json in a Kubernetes pod, text elsewhere."`
}

func (o logOptions) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.Level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q: want debug, info, warn or error", o.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	_, inPod := os.LookupEnv("KUBERNETES_SERVICE_HOST")
	if o.Format == "json" || o.Format == "auto" && inPod {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}

// adopt makes the libraries that speak to servers write to our log. They know one logger a process.
func adopt(logger *slog.Logger) {
	redisconn.LogTo(logger)
	klog.SetSlogLogger(logger)
	controllerlog.SetLogger(logr.FromSlogHandler(logger.Handler()))
}
