package engine

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// firstHead is how much of a head is read at first; most handshakes fit.
const firstHead = 2 << 10

// readHead reads an HTTP head of at most limit bytes and gives it with whatever came behind it. A head that is too long is a
// refusal; err is a client that did not send one in time.
func readHead(from io.Reader, limit int) (head, rest []byte, refused *answer, err error) {
	buffer := make([]byte, 0, min(firstHead, limit))
	for {
		if len(buffer) == cap(buffer) {
			buffer = append(buffer, 0)[:len(buffer)] // grows as data comes
		}
		free := buffer[len(buffer):cap(buffer)]
		n, err := from.Read(free)
		looked := max(0, len(buffer)-3)
		buffer = buffer[:len(buffer)+n]
		if end := headEnd(buffer, looked); end >= 0 && end <= limit {
			return buffer[:end], buffer[end:], nil, nil
		}
		if len(buffer) > limit {
			return nil, nil, refuse(http.StatusRequestHeaderFieldsTooLarge,
				fmt.Sprintf("the request's head is longer than %d bytes: send fewer and shorter headers", limit)), nil
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read the handshake: %w", err)
		}
	}
}

// headEnd is the index after the empty line that ends a head, looking from a given place; -1 when there is none.
func headEnd(buffer []byte, from int) int {
	if i := bytes.Index(buffer[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// parseHead reads a head as an HTTP request.
func parseHead(head []byte) (*http.Request, *answer) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "this is no well-formed HTTP request")
	}
	r.Body = http.NoBody
	if len(r.TransferEncoding) > 0 || r.ContentLength != 0 {
		return nil, refuse(http.StatusBadRequest, "the request announces a body: a handshake has none")
	}
	return r, nil
}
