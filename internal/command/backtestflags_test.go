package command_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/command"
)

func TestWhatSaysNothingOfARecordingIsRefusedBeforeItIsOpened(t *testing.T) {
	for flag, args := range map[string][]string{
		"--trace": {"--trace=week"}, "--row": {"--row=count"}, "--seed": {"--seed=4"}, "--peak-clients": {"--peak-clients=5"}, "--never-start": {"--never-start"},
		"--declared-capacity": {"--declared-capacity=1.3"}, "--csv": {"--csv=" + filepath.Join(t.TempDir(), "x.csv")}, "--ablate=moves": {"--ablate=moves"},
		"\"luck\"": {"--ablate=luck"},
	} {
		code, _, errOut := backtest(t, append(args, "--recording=/nowhere.tgr")...)
		if code != 2 || !strings.Contains(errOut, flag) || strings.Contains(errOut, "nowhere") {
			t.Errorf("%s: exit %d: %s", flag, code, errOut)
		}
	}
}

func TestTwoFilesOfOneNameAreTwoTraces(t *testing.T) {
	one, two := file(t, "mine.csv", quarter), file(t, "mine.csv", strings.ReplaceAll(quarter, "30\n", "90\n"))
	csv := filepath.Join(t.TempDir(), "out.csv")
	code, _, errOut := backtest(t, "--trace="+one, "--trace="+two, "--seed=1", "--row=oracle", "--csv="+csv)
	body, err := os.ReadFile(csv)
	if code != 0 || err != nil || !strings.Contains(string(body), one+",") || !strings.Contains(string(body), two+",") {
		t.Errorf("exit %d (%s), %v: want both named by their paths:\n%s", code, errOut, err, body)
	}
	same := filepath.Dir(one) + "/./mine.csv"
	if code, _, errOut = backtest(t, "--trace="+one, "--trace="+same, "--row=oracle"); code != 2 || !strings.Contains(errOut, "twice") {
		t.Errorf("one file, given twice: exit %d: %s", code, errOut)
	}
}

func TestAFileThatCannotBeWrittenIsToldBeforeTheRuns(t *testing.T) {
	trace := file(t, "mine.csv", quarter)
	csv := filepath.Join(t.TempDir(), "out.csv")
	for name, args := range map[string][]string{
		"no folder": {"--csv=" + csv, "--html=" + filepath.Join(trace, "deeper", "out.html")}, "one file for both": {"--csv=" + csv, "--html=" + csv},
	} {
		code, _, errOut := backtest(t, append(args, "--trace="+trace, "--row=oracle", "--seed=1")...)
		if code != 2 || !strings.Contains(errOut, "--html") || strings.Contains(errOut, "runs") {
			t.Errorf("%s: exit %d, told after the runs: %s", name, code, errOut)
		}
		if _, err := os.Stat(csv); err == nil {
			t.Errorf("%s: an empty file stays behind", name)
		}
	}
}

func TestAnInterruptedBacktestKeepsTheFilesOfTheLastOne(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	csv := file(t, "out.csv", "what was there")
	var out, errOut strings.Builder
	code := command.Run(ctx, []string{"backtest", "--trace=ramp", "--csv=" + csv}, &out, &errOut)
	body, err := os.ReadFile(csv)
	if code != 1 || !strings.Contains(errOut.String(), "the backtest was interrupted") || err != nil || string(body) != "what was there" {
		t.Errorf("exit %d, %s: %q, %v", code, errOut.String(), body, err)
	}
}

func TestHolesOfAFileAreTold(t *testing.T) {
	trace := file(t, "mine.csv", "host,count,time\na,1,0\na,2,10\na,2,20\na,4,900\n")
	code, _, errOut := backtest(t, "--trace="+trace, "--row=oracle", "--seed=1")
	if code != 0 || !strings.Contains(errOut, "14m40s") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

func TestAnInterruptedReplaySaysSo(t *testing.T) {
	var body bytes.Buffer
	w, err := recording.NewWriter(&body, recording.Header{
		Version: recording.Version, Fleet: chat, Began: time.Unix(1e9, 0), Every: time.Second, Source: recording.Heartbeats, Policy: policy.Default(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, errOut := tidegate(ctx, "backtest", "--recording", file(t, "chat.tgr", body.String()))
	if code != 1 || !strings.Contains(errOut, "the replay was interrupted") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}
