package engine

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/tidegate/tidegate/internal/protocol"
)

const (
	// closeNone stands for a close frame without a code (RFC 6455: 1005, never on the wire).
	closeNone = uint16(ws.StatusNoStatusRcvd)
	// closeAbnormal stands for an end without a close frame (RFC 6455: 1006, never on the wire).
	closeAbnormal = uint16(ws.StatusAbnormalClosure)
	// maxReason is what a close frame's code leaves for its reason.
	maxReason = maxControl - 2
)

// parseClose reads the payload of a client's close frame.
func parseClose(payload []byte) (uint16, *fault) {
	switch {
	case len(payload) == 0:
		return closeNone, nil
	case len(payload) == 1:
		return 0, &fault{protocol.CloseProtocol, "a close frame has half a code"}
	}
	code := binary.BigEndian.Uint16(payload)
	switch {
	case !mayClose(code):
		return 0, &fault{protocol.CloseProtocol, "a close frame has a code that no client may send"}
	case !utf8.Valid(payload[2:]):
		return 0, &fault{protocol.CloseBadUTF8, "a close frame's reason is not UTF-8"}
	}
	return code, nil
}

// mayClose reports a code that may stand in a close frame: those of RFC 6455 and the registry, and 3000 to 4999.
func mayClose(code uint16) bool {
	switch {
	case code >= 3000 && code <= 4999, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return false
	}
}

// appendClose writes a close frame; the code closeNone writes one without a code.
func appendClose(dst []byte, code uint16, reason string) []byte {
	if code == closeNone {
		return appendFrame(dst, ws.OpClose, nil)
	}
	if len(reason) > maxReason {
		cut := maxReason
		for cut > 0 && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	payload := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), code)
	return appendFrame(dst, ws.OpClose, append(payload, reason...))
}
