package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/report"
	"github.com/tidegate/tidegate/internal/backtest/trace"
)

func page(t *testing.T, results ...backtest.Result) string {
	t.Helper()
	return string(text(t, func(b *bytes.Buffer) error { return report.HTML(b, results) }))
}

var (
	scripts = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	styles  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
	island  = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)
	policy  = regexp.MustCompile(`Content-Security-Policy" content="([^"]+)"`)
)

// TestThePageKeepsItsStructure leaves out what is long: the library, the page's own parts and the data, which has its own test.
func TestThePageKeepsItsStructure(t *testing.T) {
	body := page(t, season()...)
	body = scripts.ReplaceAllString(body, "<script>…</script>")
	body = styles.ReplaceAllString(body, "<style>…</style>")
	body = policy.ReplaceAllString(body, `Content-Security-Policy" content="…"`)
	body = island.ReplaceAllString(body, `<script type="application/json" id="data">…</script>`)
	golden(t, "page.html", []byte(body))
}

func TestTheDataOfTheChartsKeepsItsStructure(t *testing.T) {
	data := island.FindStringSubmatch(page(t, season()...))
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(data[1]), "", " "); err != nil {
		t.Fatal(err)
	}
	golden(t, "data.json", indented.Bytes())
}

func TestThePageLoadsNothingAndRunsItsOwnScriptsOnly(t *testing.T) {
	t.Parallel()
	body := page(t, season()...)
	rules := html.UnescapeString(policy.FindStringSubmatch(body)[1])
	if !strings.HasPrefix(rules, "default-src 'none'") || strings.Contains(rules, "unsafe") {
		t.Errorf("the page may load or run more than its own: %s", rules)
	}
	found := append(scripts.FindAllStringSubmatch(body, -1), styles.FindAllStringSubmatch(body, -1)...)
	if len(found) != 4 {
		t.Fatalf("%d scripts and styles, want two each", len(found))
	}
	for _, part := range found {
		sum := sha256.Sum256([]byte(part[1]))
		if !strings.Contains(rules, base64.StdEncoding.EncodeToString(sum[:])) {
			t.Errorf("a browser would not use this part, since its hash is not in the policy: %.80s", part[1])
		}
	}
	markup := styles.ReplaceAllString(scripts.ReplaceAllString(body, ""), "")
	for _, banned := range []string{"src=", "href=", "url(", "@import", " style=", "onclick", "onload"} {
		if strings.Contains(markup, banned) {
			t.Errorf("the markup holds %q: the page must need nothing but itself", banned)
		}
	}
	if own := found[1][1]; regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|fetch\(|XMLHttp|import\(`).MatchString(own) {
		t.Error("the script turns text into markup, or asks a server")
	}
}

func TestANameFromAFileIsTextWhateverItHolds(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		`</script><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><svg onload=alert(1)>`, `<!--`, `{{.}}`, "`${alert(1)}`", "\u2028alert(1)", `&lt;b&gt;`,
	} {
		body := page(t, result(evil, evil, trace.Regular, 1, 0.5, 1, 0, 0, 0), result("count", evil, trace.Regular, 1, 0.5, 1, 0, 0, 0))
		if n := strings.Count(body, "<script"); n != 3 {
			t.Errorf("%q: %d script elements, want 3: a name became one", evil, n)
		}
		outside := island.ReplaceAllString(styles.ReplaceAllString(scripts.ReplaceAllString(body, ""), ""), "")
		for _, markup := range []string{"<img", "<svg", "<!--", "onerror=alert(1)>"} {
			if strings.Contains(outside, markup) {
				t.Errorf("%q: the page holds %q: a name became markup", evil, markup)
			}
		}
		data := island.FindStringSubmatch(body)
		if len(data) != 2 || strings.ContainsAny(data[1], "<>\u2028") {
			t.Fatalf("%q: the data can end its element", evil)
		}
		var read struct {
			Rows   []string
			Groups []struct{ Title string }
		}
		if err := json.Unmarshal([]byte(data[1]), &read); err != nil || read.Groups[0].Title != evil || read.Rows[1] != evil {
			t.Errorf("%q is read back as %+v, %v", evil, read, err)
		}
	}
}

func TestAPageWithoutResultsStillOpens(t *testing.T) {
	t.Parallel()
	if body := page(t); !strings.Contains(body, `"rows":[],"groups":[]`) {
		t.Error("the script would stumble over null")
	}
}

func TestRowsWithOtherTimesGetTheirOwnAxis(t *testing.T) {
	t.Parallel()
	late := result("hpa-cpu", "week", trace.Regular, 1, 0, 1, 0, 0, 0)
	late.Series.At = []float64{1, 2, 3}
	body := page(t, result("count", "week", trace.Regular, 1, 0, 1, 0, 0, 0), late)
	if !strings.Contains(body, `"axes":[[1200,2400,3600],[1,2,3]]`) {
		t.Error("two rows with other times share an axis: one of them is drawn wrong")
	}
}
