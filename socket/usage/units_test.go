package usage

import (
	"math"
	"testing"
)

func TestSizesAsOperatorsWriteThem(t *testing.T) {
	good := map[string]Bytes{
		"512Mi": 512 * mib, "1.5GiB": 1536 * mib, "500M": 500e6, "1024": 1024, "2 GB": 2e9, "64KiB": 65536, "0": 0, "1k": 1000,
	}
	for text, want := range good {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "lots", "-1", "NaN", "Inf", "1e309", "1X", "70%", "Mi"} {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q passed as the size %d", text, got)
		}
	}
}

func TestCoresAsOperatorsWriteThem(t *testing.T) {
	for text, want := range map[string]Cores{"0.5": 0.5, "500m": 0.5, "2": 2, "0": 0} {
		var got Cores
		if err := got.UnmarshalText([]byte(text)); err != nil || math.Abs(float64(got-want)) > 1e-9 {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "two", "-1", "NaN", "Inf", "1e309", "70%", "m"} {
		var got Cores
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q passed as %v cores", text, got)
		}
	}
}
