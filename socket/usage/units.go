package usage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size that an operator writes as 512Mi, 1.5GiB, 500M or plain bytes.
type Bytes int64

// Cores is an amount of CPU that an operator writes as 0.5, 2 or 500m.
type Cores float64

var byteUnits = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"Ki", 1 << 10},
	{"Mi", 1 << 20},
	{"Gi", 1 << 30},
	{"Ti", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"k", 1e3},
	{"K", 1e3},
	{"M", 1e6},
	{"G", 1e9},
	{"T", 1e12},
	{"B", 1},
	{"", 1},
}

// UnmarshalText reads a size; binary (Ki, Mi, Gi) and decimal (k, M, G) units are both understood.
func (b *Bytes) UnmarshalText(text []byte) error {
	written := strings.TrimSpace(string(text))
	for _, unit := range byteUnits {
		number, found := strings.CutSuffix(written, unit.suffix)
		if !found {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		size := value * unit.factor
		// The comparison is written so that NaN fails it.
		if err != nil || !(size >= 0 && size < math.MaxInt64/2) {
			break
		}
		*b = Bytes(size)
		return nil
	}
	return fmt.Errorf("size %q is not understood: write bytes with a unit, like 512Mi or 1.5GiB", written)
}

// UnmarshalText reads cores or, with the suffix m, thousandths of a core.
func (c *Cores) UnmarshalText(text []byte) error {
	written := strings.TrimSpace(string(text))
	number, factor := written, 1.0
	if milli, found := strings.CutSuffix(written, "m"); found {
		number, factor = milli, 1e-3
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !(value >= 0 && value <= 4096) {
		return fmt.Errorf("CPU amount %q is not understood: write cores, like 0.5 or 500m", written)
	}
	*c = Cores(value * factor)
	return nil
}
