package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/protocol"
)

// maxResolveBytes bounds a resolve answer.
const maxResolveBytes = 64 << 10

// Place is where a client belongs.
type Place struct {
	// URL is the node's WebSocket address; TableVersion the version of the table that says so.
	URL          string
	TableVersion uint64
}

// NotReadyError says that the fleet has no place for the client yet.
type NotReadyError struct {
	// RetryAfter is the fleet's own advice; zero is none.
	RetryAfter time.Duration
	Status     int
}

// Error names the answer's status.
func (e *NotReadyError) Error() string {
	return fmt.Sprintf("resolve answered %d: no place yet, retry after %s", e.Status, e.RetryAfter)
}

// HTTPResolver asks the balancer behind base (its public address, without a path).
func HTTPResolver(client *http.Client, base string) func(ctx context.Context, id, token string) (Place, error) {
	return func(ctx context.Context, id, token string) (Place, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+keys.PathResolve, http.NoBody)
		if err != nil {
			return Place{}, fmt.Errorf("resolve: %w", err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		} else {
			request.URL.RawQuery = url.Values{protocol.ParamClient: {id}}.Encode()
		}
		response, err := client.Do(request)
		if err != nil {
			return Place{}, fmt.Errorf("resolve: %w", err)
		}
		defer response.Body.Close() //nolint:errcheck // the answer was read or is of no use
		return readPlace(response)
	}
}

func readPlace(response *http.Response) (Place, error) {
	switch {
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		return Place{}, fmt.Errorf("resolve answered %d: %w", response.StatusCode, ErrRefused)
	case response.StatusCode != http.StatusOK:
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil || seconds < 0 {
			seconds = 0
		}
		return Place{}, &NotReadyError{RetryAfter: time.Duration(seconds) * time.Second, Status: response.StatusCode}
	}
	var answer struct {
		URL          string `json:"url"`
		TableVersion uint64 `json:"tableVersion"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxResolveBytes)).Decode(&answer); err != nil {
		return Place{}, fmt.Errorf("read resolve answer: %w", err)
	}
	return Place{URL: answer.URL, TableVersion: answer.TableVersion}, nil
}
