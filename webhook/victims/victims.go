// Package victims asks the balancer which nodes of a fleet should leave first.
package victims

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// ErrUnknownFleet says that the balancer answered, and knows no such fleet.
var ErrUnknownFleet = errors.New("the balancer knows no such fleet")

const (
	// Timeout bounds one question with its second try, one try half of it: a replica that has just died does not answer,
	// and behind the Service the next try meets another.
	Timeout    = time.Second
	tryTimeout = Timeout / 2
	tries      = 2

	// all is the most names that the balancer gives: the whole order is asked for, since only the webhook knows which
	// nodes are ready pods of the ReplicaSet that shrinks.
	all = 100_000
	// maxAnswer bounds an answer: all those names at their longest.
	maxAnswer = all * 260
	// maxRefusal bounds the words of a refusal.
	maxRefusal = 4 << 10
)

// Client asks over HTTP. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient asks the balancer whose admin port is at base, as in http://host:port.
func NewClient(base string, transport http.RoundTripper) *Client {
	return &Client{base: base, http: &http.Client{Transport: transport, Timeout: tryTimeout}}
}

// Order lists a fleet's nodes, those that should leave first in front; nodes that drain are left out. It wraps
// ErrUnknownFleet, or says what is wrong with the balancer, after at most Timeout.
func (c *Client) Order(ctx context.Context, id fleet.ID) ([]string, error) {
	query := url.Values{keys.QueryFleet: {id.String()}, "count": {strconv.Itoa(all)}}
	address := c.base + keys.PathVictims + "?" + query.Encode()
	var errs []error
	for range tries {
		names, again, err := c.try(ctx, address, id)
		if err == nil {
			return names, nil
		}
		errs = append(errs, err)
		if !again || ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("ask the balancer at %s which nodes of %s should leave: %w", c.base, id, errors.Join(errs...))
}

// answer is what the balancer says, as far as it is read.
type answer struct {
	Fleet   fleet.ID       `json:"fleet"`
	Victims []fleet.NodeID `json:"victims"`
}

// try asks once; again says that another try may help.
func (c *Client) try(ctx context.Context, address string, id fleet.ID) (names []string, again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, false, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, true, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	switch {
	case response.StatusCode == http.StatusNotFound:
		return nil, false, ErrUnknownFleet
	case response.StatusCode != http.StatusOK:
		words, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal)) // half of the words are better than none
		return nil, response.StatusCode >= http.StatusInternalServerError, fmt.Errorf("it answered %s: %.200q", response.Status, words)
	}
	var said answer
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&said); err != nil {
		return nil, true, fmt.Errorf("read its answer: %w", err)
	}
	if said.Fleet != id {
		return nil, false, fmt.Errorf("it answered for fleet %s: point --balancer-admin-url at the balancer", said.Fleet)
	}
	names = make([]string, len(said.Victims))
	for i, node := range said.Victims {
		names[i] = string(node)
	}
	return names, false, nil
}
