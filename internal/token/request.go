package token

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tidegate/tidegate/internal/protocol"
)

// Source says where a request carried its token.
type Source string

// The places of a token, in the order in which FromRequest looks.
const (
	// None: there is no token.
	None Source = ""
	// Header: "Authorization: Bearer <jwt>".
	Header Source = "header"
	// Subprotocol: an entry "bearer.<jwt>" in Sec-WebSocket-Protocol, beside "tidegate.v1". Browsers can set no header but
	// this one: new WebSocket(url, ["tidegate.v1", "bearer." + jwt]). A JWT has only characters that an entry may have.
	Subprotocol Source = "subprotocol"
	// Query: "?token=<jwt>". Addresses end up in logs of proxies: it comes last.
	Query Source = "query"
)

const (
	bearerScheme = "bearer "
	bearerEntry  = "bearer."
)

// FromRequest finds a request's raw token and where it was. The first place that has one counts.
func FromRequest(r *http.Request) (string, Source) {
	if raw := fromAuthorization(r.Header.Get("Authorization")); raw != "" {
		return raw, Header
	}
	for _, list := range r.Header.Values("Sec-WebSocket-Protocol") {
		for entry := range strings.SplitSeq(list, ",") {
			if raw, found := strings.CutPrefix(strings.TrimSpace(entry), bearerEntry); found && raw != "" {
				return raw, Subprotocol
			}
		}
	}
	if r.URL != nil {
		if raw := r.URL.Query().Get(protocol.ParamToken); raw != "" {
			return raw, Query
		}
	}
	return "", None
}

func fromAuthorization(value string) string {
	if len(value) <= len(bearerScheme) || !strings.EqualFold(value[:len(bearerScheme)], bearerScheme) {
		return ""
	}
	return strings.TrimSpace(value[len(bearerScheme):])
}

// hidden is what a log shows instead of a token.
const hidden = "hidden"

// Redact writes an address for a log: the values of token and resume, and everything that cannot be told apart from them, are
// hidden; user and fragment are left out.
func Redact(address string) string {
	address, _, _ = strings.Cut(address, "#")
	path, query, found := strings.Cut(address, "?")
	path = withoutUser(path)
	if !found {
		return path
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, valued := strings.Cut(pair, "=")
		if valued && isSecret(name) {
			pairs[i] = name + "=" + hidden
		} else if !valued && strings.Contains(pair, ";") {
			pairs[i] = hidden
		}
	}
	return path + "?" + strings.Join(pairs, "&")
}

// isSecret reports a parameter whose value must not be seen; a name that is written in a way we cannot read counts as one.
func isSecret(name string) bool {
	plain, err := url.QueryUnescape(name)
	if err != nil || strings.Contains(plain, ";") {
		return true
	}
	return strings.EqualFold(plain, protocol.ParamToken) || strings.EqualFold(plain, protocol.ParamResume)
}

// withoutUser takes "user:password@" out of an address that has a host.
func withoutUser(path string) string {
	scheme, rest, found := strings.Cut(path, "://")
	if !found {
		return path
	}
	host, tail, slash := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	if slash {
		tail = "/" + tail
	}
	return scheme + "://" + host + tail
}
