package engine

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for SHA-1 here; nothing rests on its strength.
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/tidegate/tidegate/internal/protocol"
)

const (
	// acceptGUID is the constant of RFC 6455 that proves that a server speaks WebSocket.
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// keyBytes is the length of a handshake's key once decoded.
	keyBytes = 16
	// wsVersion is the only WebSocket version.
	wsVersion = "13"
)

// once are the headers of which a second one would leave open which counts.
var once = []string{"Sec-Websocket-Key", "Sec-Websocket-Version", "Origin", "Authorization", "Upgrade"}

// check judges a handshake by everything that needs no state. nil means that it is in order.
func check(r *http.Request, origins []string) *answer {
	if r.URL.Path != protocol.ConnectPath {
		return refuse(http.StatusNotFound, "there is nothing here: clients connect to "+protocol.ConnectPath)
	}
	if r.Method != http.MethodGet {
		return refuse(http.StatusMethodNotAllowed, "a handshake is a GET", "Allow: GET")
	}
	if !r.ProtoAtLeast(1, 1) {
		return refuse(http.StatusHTTPVersionNotSupported, "a handshake needs HTTP/1.1")
	}
	for _, name := range once {
		if len(r.Header[name]) > 1 {
			return refuse(http.StatusBadRequest, "the "+name+" header is there twice: send it once")
		}
	}
	if r.Host == "" {
		return refuse(http.StatusBadRequest, "the Host header is missing")
	}
	if refused := checkUpgrade(r.Header); refused != nil {
		return refused
	}
	if !listed(r.Header["Sec-Websocket-Protocol"], isSubprotocol) {
		return refuse(http.StatusBadRequest, "the subprotocol is not offered: send Sec-WebSocket-Protocol: "+protocol.Subprotocol)
	}
	if !originAllowed(r, origins) {
		return refuse(http.StatusForbidden, "this origin may not connect: the operator lists origins with --ws-origin")
	}
	return nil
}

// checkUpgrade judges the headers that make a request a WebSocket handshake.
func checkUpgrade(h http.Header) *answer {
	upgrade := listed(h["Upgrade"], func(entry string) bool { return strings.EqualFold(entry, "websocket") })
	connection := listed(h["Connection"], func(entry string) bool { return strings.EqualFold(entry, "upgrade") })
	switch {
	case !upgrade && !connection:
		return refuse(http.StatusUpgradeRequired, "this address speaks WebSocket only: connect with a WebSocket client",
			"Upgrade: websocket", "Sec-WebSocket-Version: "+wsVersion)
	case !upgrade:
		return refuse(http.StatusBadRequest, "the Upgrade header does not ask for websocket")
	case !connection:
		return refuse(http.StatusBadRequest, "the Connection header does not ask for Upgrade")
	case h.Get("Sec-Websocket-Version") != wsVersion:
		return refuse(http.StatusUpgradeRequired, "only WebSocket version 13 is spoken here",
			"Upgrade: websocket", "Sec-WebSocket-Version: "+wsVersion)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(h.Get("Sec-Websocket-Key"))
	if err != nil || len(key) != keyBytes {
		return refuse(http.StatusBadRequest, "the Sec-WebSocket-Key is not 16 bytes in base64")
	}
	return nil
}

// isSubprotocol is exact: a client would not recognise another spelling in the answer.
func isSubprotocol(entry string) bool { return entry == protocol.Subprotocol }

// listed looks for an entry in comma-separated lists.
func listed(lists []string, wanted func(entry string) bool) bool {
	for _, list := range lists {
		for entry := range strings.SplitSeq(list, ",") {
			if wanted(strings.TrimSpace(entry)) {
				return true
			}
		}
	}
	return false
}

// switching is the answer to a handshake that is taken.
func switching(key string) []byte {
	sum := sha1.Sum([]byte(key + acceptGUID)) //nolint:gosec // As above.
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\nSec-WebSocket-Protocol: " + protocol.Subprotocol + "\r\n\r\n")
}
