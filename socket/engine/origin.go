package engine

import (
	"net/http"
	"strings"
)

// anyOrigin in the list lets every browser origin connect.
const anyOrigin = "*"

// originAllowed decides on a browser's Origin. Programs that are no browsers send none and are judged by their token alone.
func originAllowed(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if len(allowed) == 0 {
		_, host, found := strings.Cut(origin, "://")
		return found && strings.EqualFold(host, r.Host)
	}
	for _, pattern := range allowed {
		if pattern == anyOrigin || strings.EqualFold(pattern, origin) || underPattern(origin, pattern) {
			return true
		}
	}
	return false
}

// underPattern matches "https://*.example" with exactly one level in place of the star.
func underPattern(origin, pattern string) bool {
	before, after, found := strings.Cut(strings.ToLower(pattern), "://*.")
	if !found {
		return false
	}
	scheme, host, found := strings.Cut(strings.ToLower(origin), "://")
	if !found || scheme != before {
		return false
	}
	level, rest, found := strings.Cut(host, ".")
	return found && level != "" && rest == after
}
