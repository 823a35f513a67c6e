package actuator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// maxVictimsBytes bounds the answer that is read.
const maxVictimsBytes = 1 << 20

// HTTPVictims asks the balancer who should leave.
type HTTPVictims struct {
	base   string
	fleet  fleet.ID
	client *http.Client
}

// NewHTTPVictims asks the balancer whose victims API is under base, such as http://127.0.0.1:8080.
// The client needs no timeout of its own; calls are bounded by their context.
func NewHTTPVictims(base string, id fleet.ID, client *http.Client) *HTTPVictims {
	return &HTTPVictims{base: base, fleet: id, client: client}
}

// Victims returns at most k nodes, the least to lose first.
func (v *HTTPVictims) Victims(ctx context.Context, k int) ([]fleet.NodeID, error) {
	query := url.Values{keys.QueryFleet: {v.fleet.String()}, "count": {strconv.Itoa(k)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+keys.PathVictims+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask for victims: %w", err)
	}
	response, err := v.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for victims: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxVictimsBytes))
	if err != nil {
		return nil, fmt.Errorf("read victims: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for victims: the balancer answers %s: %.200q", response.Status, body)
	}
	var answer struct {
		Victims []fleet.NodeID `json:"victims"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("decode victims: %w", err)
	}
	return answer.Victims, nil
}
