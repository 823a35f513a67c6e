package listen_test

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/listen"
)

func setting(address string) listen.Setting {
	return listen.Setting{Flag: "--x-listen", Env: "TIDEGATE_X_LISTEN", Address: address}
}

func TestAnAddressThatCannotWorkIsNamedWithItsFlag(t *testing.T) {
	for _, address := range []string{"", "8080", "host", "host:", ":http", ":70000", ":-1", "a:b:c"} {
		err := setting(address).Check()
		if err == nil || !strings.Contains(err.Error(), "--x-listen") {
			t.Errorf("%q: error is %v: the operator would not know what to change", address, err)
		}
	}
	for _, address := range []string{":0", ":8080", "127.0.0.1:65535", "[::1]:1"} {
		if err := setting(address).Check(); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestASecondStartOnATakenPortSaysWhatToDo(t *testing.T) {
	first, err := setting("127.0.0.1:0").Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = setting(first.Addr().String()).Open(t.Context())
	if err == nil {
		t.Fatal("two processes share one port: half of the clients would reach the wrong one")
	}
	for _, word := range []string{"--x-listen", "TIDEGATE_X_LISTEN", "another process has that port"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}
