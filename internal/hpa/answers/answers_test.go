package answers_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/hpa/answers"
)

func rows() []answers.Row {
	spec := hpa.Shipped(2, 50)
	spec.Down.Select, spec.Up.Tolerance, spec.Down.Stabilization = hpa.SelectMin, 0.1, 50*time.Second
	return []answers.Row{
		{Case: "out, then \"in\"", Scale: hpa.Scale{Spec: 4, Status: 5}, HPA: spec, Metric: hpa.Metric{Value: 9000, Target: 1000}, Answer: 9},
		{Case: "out, then \"in\"", At: 15 * time.Second, Scale: hpa.Scale{Spec: 9, Status: 9}, HPA: spec, Metric: answers.Unread(1000), Answer: 9},
	}
}

func table(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if err := answers.Write(&out, rows()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestATableIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	got, err := answers.Read(strings.NewReader(table(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rows(), got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

func TestAWrongTableIsNamedByLineAndField(t *testing.T) {
	t.Parallel()
	for old, test := range map[string]struct{ with, want string }{
		"case,":           {"story,", "first line"},
		"9000":            {"lots", `line 2: value_milli "lots"`},
		"select=Min":      {"select=Some", "Some is unknown"},
		"Pods:10/15s":     {"Pods:10", "as in Pods:4/15s"},
		"Percent:100":     {"Part:100", "Part is unknown"},
		"tolerance=0.1":   {"patience=0.1", "patience is unknown"},
		",2,50,":          {",two,50,", `min "two"`},
		"Percent:100/15s": {"Percent:100/15", "missing unit"},
	} {
		_, err := answers.Read(strings.NewReader(strings.Replace(table(t), old, test.with, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s for %s: error %v, want one that says %q", test.with, old, err, test.want)
		}
	}
}

func TestADifferenceIsToldOnceACase(t *testing.T) {
	t.Parallel()
	if err := answers.Check(rows()); err != nil {
		t.Errorf("these are the HPA's answers: %v", err)
	}
	wrong := rows()
	wrong[0].Answer, wrong[1].Scale.Spec, wrong[1].Answer = 8, 8, 7
	err := answers.Check(wrong)
	if err == nil || strings.Count(err.Error(), "the HPA answered") != 1 || !strings.Contains(err.Error(), "answered 8, package hpa 9") {
		t.Errorf("error %v, want the first difference alone", err)
	}
}
