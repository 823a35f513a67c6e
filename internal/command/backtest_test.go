package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/command"
)

func backtest(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = command.Run(t.Context(), append([]string{"backtest"}, args...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func file(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const quarter = "time,count\n2026-01-01 00:00:00,10\n2026-01-01 00:08:00,30\n2026-01-01 00:15:00,12\n"

func TestABacktestEndsWithATableAndItsFiles(t *testing.T) {
	trace, dir := file(t, "mine.csv", quarter), t.TempDir()
	csv, html := filepath.Join(dir, "out.csv"), filepath.Join(dir, "out.html")
	code, out, errOut := backtest(t, "--trace="+trace, "--seed=1", "--seed=2", "--row=count", "--row=keda-both", "--peak-clients=20000",
		"--csv="+csv, "--html="+html, "--set=cpuCeiling=0.8")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	for _, word := range []string{"count", "keda-both"} {
		if !strings.Contains(out, word) {
			t.Errorf("the table does not say %q:\n%s", word, out)
		}
	}
	if !strings.Contains(errOut, "4 of 4 runs") {
		t.Errorf("nobody is told how far it is:\n%s", errOut)
	}
	for path, word := range map[string]string{csv: "mine.csv", html: "<html"} {
		body, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(body), word) {
			t.Errorf("%s does not hold %q (%v)", path, word, err)
		}
	}
}

func TestABacktestNamesWhatItCannotRun(t *testing.T) {
	broken := file(t, "broken.csv", "time,count\n2026-01-01 00:00:00,10\nnoon,30\n")
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"a trace":          {[]string{"--trace=weak"}, []string{`"weak"`, "week"}},
		"a file":           {[]string{"--trace=none.csv"}, []string{"--trace", "none.csv"}},
		"a broken file":    {[]string{"--trace=" + broken}, []string{"broken.csv", "line 3", "noon"}},
		"a row":            {[]string{"--row=keda"}, []string{`"keda"`, "keda-both"}},
		"an ablation":      {[]string{"--ablate=luck"}, []string{`"luck"`, "margin"}},
		"a peak":           {[]string{"--peak-clients=-1"}, []string{"--peak-clients", "-1"}},
		"a setting":        {[]string{"--set=cpuCeiling=9"}, []string{"cpuCeiling", "9"}},
		"no setting":       {[]string{"--set=cpuCeiling"}, []string{"--set", "cpuCeiling"}},
		"a policy file":    {[]string{"--policy-file=none.json"}, []string{"--policy-file", "none.json"}},
		"workers":          {[]string{"--workers=-2"}, []string{"--workers", "-2"}},
		"a recording":      {[]string{"--recording=none.gz"}, []string{"--recording", "none.gz"}},
		"no recording":     {[]string{"--recording=" + broken}, []string{"--recording", "broken.csv", "gzip"}},
		"a wrong capacity": {[]string{"--declared-capacity=0"}, []string{"capacity"}},
	} {
		code, _, errOut := backtest(t, c.args...)
		if code != 2 {
			t.Errorf("%s: exit %d: %s", name, code, errOut)
		}
		for _, word := range c.want {
			if !strings.Contains(errOut, word) {
				t.Errorf("%s: the error does not say %q:\n%s", name, word, errOut)
			}
		}
	}
}
