package client

import "github.com/tidegate/tidegate/internal/protocol"

// rememberedMessages bounds the duplicate filter: far more than a client receives while it moves.
const rememberedMessages = 8192

// incoming is what a client knows of its inbox: how far it has come, and what it has seen.
// A cumulative offset is enough on one connection; across two it is the (from, id) filter that keeps the promise,
// since a sender's retry may enter the log twice.
type incoming struct {
	last  protocol.Offset
	acked protocol.Offset
	seen  map[messageKey]struct{}
	order []messageKey
	next  int
}

type messageKey struct{ from, id string }

func newIncoming() *incoming {
	return &incoming{seen: make(map[messageKey]struct{})}
}

// arrival is what a message is to the client.
type arrival int

const (
	// fresh messages are shown.
	fresh arrival = iota + 1
	// overlap messages came over the old and the new connection while the client moved. That is the price of no gap.
	overlap
	// duplicate messages should not have been sent: the client had said that it has them, or a retry was not dropped.
	duplicate
)

// take says what the message is, and moves the offset forward. asked is the offset its connection was opened with.
func (in *incoming) take(m protocol.Message, asked protocol.Offset) arrival {
	key := messageKey{m.From, m.ID}
	_, twice := in.seen[key]
	switch {
	case reached(asked, m.Offset):
		return duplicate
	case reached(in.last, m.Offset):
		return overlap
	}
	in.last = m.Offset
	if twice {
		return duplicate
	}
	in.remember(key)
	return fresh
}

// reached reports whether an inbox that is read up to and with at holds nothing new at o.
func reached(at, o protocol.Offset) bool { return at.Topic == o.Topic && o.Value <= at.Value }

func (in *incoming) remember(key messageKey) {
	in.seen[key] = struct{}{}
	if len(in.order) < rememberedMessages {
		in.order = append(in.order, key)
		return
	}
	delete(in.seen, in.order[in.next])
	in.order[in.next] = key
	in.next = (in.next + 1) % rememberedMessages
}

// advance moves an idle client forward to an offset up to which nothing is left for it.
func (in *incoming) advance(o protocol.Offset) {
	if o.IsZero() || reached(in.last, o) {
		return
	}
	in.last = o
}

// due returns the offset to ack, if any.
func (in *incoming) due() (protocol.Offset, bool) {
	if in.last.IsZero() || in.last == in.acked {
		return protocol.Offset{}, false
	}
	in.acked = in.last
	return in.last, true
}
