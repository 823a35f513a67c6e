package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/uplot"
)

//go:embed assets
var embedded embed.FS

// vendored is where the page finds the chart library, which it shares with the backtest's report.
const vendored = "vendor/uplot/"

// asset reads a file by its path below "assets/".
func asset(name string) ([]byte, error) {
	if inside, ok := strings.CutPrefix(name, vendored); ok {
		return uplot.Read(inside)
	}
	return embedded.ReadFile(path.Join("assets", name))
}

// contentType is fixed here: the system's own table may call a script anything, and then it does not run.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}

// serveAsset answers with an embedded file, or 304 when the browser holds it. Names carry no hash, so that a
// browser asks each time and a new binary never runs with an old script.
func serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	body, err := asset(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(body)
	header := w.Header()
	header.Set("Content-Type", contentType(name))
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
