package uplot_test

import (
	"bytes"
	"io/fs"
	"testing"

	"github.com/tidegate/tidegate/internal/uplot"
)

func TestTheLibraryIsHereWithItsLicence(t *testing.T) {
	t.Parallel()
	for name, holds := range map[string]string{uplot.Script: "uPlot", uplot.Style: ".u-", "LICENSE": "Leon Sorokin"} {
		body, err := uplot.Read(name)
		if err != nil || !bytes.Contains(body, []byte(holds)) {
			t.Errorf("%s: %v: a page without it draws nothing", name, err)
		}
	}
	if _, err := fs.Stat(uplot.Files(), "../uplot.go"); err == nil {
		t.Error("files beside the library can be read through it")
	}
}

// Whoever puts the library inline relies on this: the end of a script element would end it early.
func TestTheScriptCanStandInAPage(t *testing.T) {
	t.Parallel()
	body, err := uplot.Read(uplot.Script)
	if err != nil || bytes.Contains(bytes.ToLower(body), []byte("</script")) || bytes.Contains(body, []byte("<!--")) {
		t.Errorf("the script holds what ends a script element, %v", err)
	}
}
