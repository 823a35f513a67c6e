package redisconn

import (
	"strings"
	"testing"
)

func TestPersistenceWarning(t *testing.T) {
	tests := map[string]struct {
		info string
		want string
	}{
		"an append-only file is safe":   {"# Persistence\r\nloading:0\r\naof_enabled:1\r\n", ""},
		"no append-only file is warned": {"# Persistence\r\nloading:0\r\naof_enabled:0\r\n", "appendonly yes"},
		"an unknown answer is silent":   {"", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := persistenceWarning(test.info)
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("warning %q, want one with %q", got, test.want)
			}
		})
	}
}
