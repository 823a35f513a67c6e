package engine

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is the HTTP answer to a handshake that is not taken: a refusal and the headers that its status wants.
type answer struct {
	Refusal
	headers []string // each "Name: value"
}

func refuse(status int, message string, headers ...string) *answer {
	return &answer{Refusal: Refusal{Status: status, Message: message}, headers: headers}
}

// over answers a client beyond a limit. The wait is spread by chance: clients that were refused together must not come back
// together.
func over(wait time.Duration, message string) *answer {
	return &answer{Refusal: Refusal{
		Status: http.StatusServiceUnavailable, RetryAfter: wait + rand.N(wait+1), Message: message,
	}}
}

// bytes is the answer as it goes out.
func (a *answer) bytes() []byte {
	status, text := a.Status, http.StatusText(a.Status)
	if text == "" {
		status, text = http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, text)
	for _, header := range a.headers {
		b.WriteString(header + "\r\n")
	}
	if a.RetryAfter > 0 {
		seconds := (a.RetryAfter + time.Second - 1) / time.Second
		b.WriteString("Retry-After: " + strconv.FormatInt(int64(seconds), 10) + "\r\n")
	}
	body := a.Message + "\n"
	fmt.Fprintf(&b, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		len(body), body)
	return []byte(b.String())
}
