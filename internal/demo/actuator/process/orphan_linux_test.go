package process_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestNoNodeOutlivesAKilledDemo(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envKind+"=parent", envAdmin+"="+listener.Addr().String(), envDir+"="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heirs, err := accept(listener)
	if err != nil {
		t.Fatalf("the grandchild never came: %v", err)
	}
	defer func() { _ = heirs.Close() }()
	if err := heirs.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(heirs, make([]byte, len("alive"))); err != nil {
		t.Fatalf("the grandchild said nothing: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The connection ends when the process that holds it does; nobody else could end it.
	if _, err := heirs.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the node outlived its parent by %v: a killed demo leaves orphans", patience)
	}
}

func accept(listener net.Listener) (net.Conn, error) {
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return listener.Accept()
}
