package externalscaler

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/tidegate/tidegate/internal/logkey"
)

// awaitEvery is how often a file that is not there yet is looked for.
const awaitEvery = 500 * time.Millisecond

// await waits until the TLS files exist and hold something: on a new cluster the Secret is filled after this process has
// started, and to fail would only make the kubelet wait longer with each try. It returns false when ctx ended first. What
// the files hold is not its business.
func (o Options) await(ctx context.Context, logger *slog.Logger) bool {
	ticker := time.NewTicker(awaitEvery)
	defer ticker.Stop()
	for said := ""; ; {
		missing := o.missingFile()
		switch {
		case missing == "":
			return true
		case missing != said:
			said = missing
			logger.Warn("the scaler waits for its certificate and takes no calls", slog.String(logkey.Path, missing))
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// missingFile is the first TLS file that is not there or empty.
func (o Options) missingFile() string {
	for _, path := range []string{o.CertFile, o.KeyFile, o.ClientCAFile} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			return path
		}
	}
	return ""
}
