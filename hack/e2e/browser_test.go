//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// browser is a real Chromium, spoken to by its DevTools protocol. It is for one goroutine.
type browser struct {
	conn    *websocket.Conn
	session string
	serial  int
}

// browse starts Chromium with one page open; it ends with the story.
func browse(t *testing.T, address string) *browser {
	t.Helper()
	profile := t.TempDir()
	command := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-background-networking", "--force-color-profile=srgb", "--window-size=1440,1010",
		"--remote-debugging-port=0", "--user-data-dir="+profile, "about:blank")
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	b := &browser{}
	eventually(t, time.Minute, "Chromium opens its DevTools", func() error {
		port, path, err := devTools(profile)
		if err != nil {
			return err
		}
		b.conn, _, err = websocket.Dial(t.Context(), "ws://127.0.0.1:"+port+path, nil)
		return err
	})
	t.Cleanup(func() { _ = b.conn.CloseNow() })
	const mostBytes = 64 << 20 // a screenshot comes in one message
	b.conn.SetReadLimit(mostBytes)
	var target struct {
		TargetID string `json:"targetId"`
	}
	b.call(t, "Target.createTarget", map[string]any{"url": address}, &target)
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	b.call(t, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	return b
}

// devTools reads where Chromium listens.
func devTools(profile string) (port, path string, err error) {
	file, err := os.Open(filepath.Join(profile, "DevToolsActivePort"))
	if err != nil {
		return "", "", fmt.Errorf("Chromium has not said yet where it listens: %w", err)
	}
	defer file.Close()
	var lines []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if len(lines) < 2 {
		return "", "", fmt.Errorf("Chromium has not said yet where it listens: %q", lines)
	}
	return lines[0], lines[1], nil
}

// call runs one DevTools command and reads its result; events are passed over.
func (b *browser) call(t *testing.T, method string, params map[string]any, result any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b.serial++
	request := map[string]any{"id": b.serial, "method": method, "params": params}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Write(ctx, websocket.MessageText, body); err != nil {
		t.Fatalf("tell Chromium %s: %v", method, err)
	}
	for {
		_, body, err := b.conn.Read(ctx)
		if err != nil {
			t.Fatalf("hear Chromium on %s: %v", method, err)
		}
		var answer struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("Chromium on %s: %v", method, err)
		}
		if answer.ID != b.serial {
			continue
		}
		if answer.Error != nil {
			t.Fatalf("Chromium on %s: %s", method, answer.Error)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				t.Fatalf("Chromium on %s: %v", method, err)
			}
		}
		return
	}
}

// text is what the page shows in the element with this id.
func (b *browser) text(t *testing.T, id string) string {
	t.Helper()
	return b.eval(t, fmt.Sprintf("document.getElementById(%q)?.textContent ?? ''", id))
}

// eval is the value of an expression on the page, as text.
func (b *browser) eval(t *testing.T, expression string) string {
	t.Helper()
	var answer struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		ExceptionDetails json.RawMessage `json:"exceptionDetails"`
	}
	b.call(t, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		t.Fatalf("%s on the page: %s", expression, answer.ExceptionDetails)
	}
	return strings.TrimSpace(fmt.Sprint(answer.Result.Value))
}

// picture keeps what the page looks like.
func (b *browser) picture(t *testing.T, path string) {
	t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	b.call(t, "Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	body, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
}
