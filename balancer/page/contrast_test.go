package page

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"
)

// minContrast is what WCAG 2.2 level AA asks of small text.
const minContrast = 4.5

var token = regexp.MustCompile(`(--[a-z0-9-]+): light-dark\(#([0-9a-f]{6})[0-9a-f]{0,2}, #([0-9a-f]{6})[0-9a-f]{0,2}\)`)

func TestTextIsReadableInBothThemes(t *testing.T) {
	colours := map[string][2]string{}
	for _, match := range token.FindAllStringSubmatch(ours(t)["css/base.css"], -1) {
		colours[match[1]] = [2]string{match[2], match[3]}
	}
	var pairs [][2]string
	for _, ground := range []string{"--paper", "--surface", "--raised"} {
		for _, text := range []string{"--ink", "--soft", "--tide", "--violet", "--u0", "--u1", "--u2", "--u3"} {
			pairs = append(pairs, [2]string{text, ground})
		}
	}
	for level := range 4 {
		pairs = append(pairs, [2]string{fmt.Sprintf("--u%d", level), fmt.Sprintf("--u%d-wash", level)})
	}
	pairs = append(pairs, [2]string{"--tide", "--tide-wash"}, [2]string{"--violet", "--violet-wash"}, [2]string{"--ink", "--u1-wash"})
	for _, pair := range pairs {
		text, ground := colours[pair[0]], colours[pair[1]]
		for i, theme := range []string{"light", "dark"} {
			if got := contrast(t, text[i], ground[i]); !(got >= minContrast) {
				t.Errorf("%s on %s has contrast %.2f in the %s theme, want %.1f", pair[0], pair[1], got, theme, minContrast)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	lighter, darker := luminance(t, a), luminance(t, b)
	if lighter < darker {
		lighter, darker = darker, lighter
	}
	return (lighter + 0.05) / (darker + 0.05)
}

// luminance is the relative luminance of a colour as WCAG defines it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatalf("colour %q is not defined as light-dark(#rrggbb, #rrggbb)", hex)
	}
	linear := func(shift uint) float64 {
		c := float64(rgb>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}
