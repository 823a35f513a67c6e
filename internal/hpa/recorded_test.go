package hpa_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/internal/hpa/answers"
)

// The table was recorded on a local cluster of Kubernetes 1.37.2 and KEDA 2.21.0 by the story TestFullHPAAnswers of hack/e2e.
func TestTheRealHPAsAnswersAreOurs(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join("testdata", "recorded.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := answers.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	const least = 100 // looks; a table that was cut would agree with anything
	if len(rows) < least {
		t.Errorf("%d looks were recorded, want at least %d", len(rows), least)
	}
	if err := answers.Check(rows); err != nil {
		t.Errorf("the simulator's rows and the demo's stand-in would decide otherwise than Kubernetes:\n%v", err)
	}
}
