package page

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/uplot"
)

// ours is every embedded file by its path below assets, the vendored ones left out.
func ours(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for name, body := range everyAsset(t) {
		if !strings.HasPrefix(name, "vendor/") {
			files[name] = body
		}
	}
	return files
}

func everyAsset(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(embedded, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := embedded.ReadFile(name)
		files[strings.TrimPrefix(name, "assets/")] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(uplot.Files(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := asset(vendored + name)
		files[vendored+name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var addresses = regexp.MustCompile(`(?i)(?:https?|wss?):?//[^\s"'<>)]+|["'(=]//[a-z]`)

func TestNoAssetNamesAnotherHost(t *testing.T) {
	// A namespace is a name, and the banner of uPlot a comment: neither is ever fetched.
	allowed := map[string]string{
		"favicon.svg":                    "http://www.w3.org/2000/svg",
		"vendor/uplot/uPlot.iife.min.js": "https://github.com/leeoniya/uPlot",
	}
	for name, body := range everyAsset(t) {
		for _, address := range addresses.FindAllString(body, -1) {
			if address != allowed[name] {
				t.Errorf("%s names %s: the page must work without a network", name, address)
			}
		}
	}
}

func TestNothingInlineThatTheContentPolicyWouldBlock(t *testing.T) {
	banned := map[string]*regexp.Regexp{
		"an inline script":         regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]`),
		"an inline style":          regexp.MustCompile(`(?i)<style|\sstyle\s*=\s*["']|setAttribute\(["']style|cssText`),
		"an inline event handler":  regexp.MustCompile(`(?i)<[^>]+\son[a-z]+\s*=`),
		"text that becomes markup": regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`),
		"a data or script address": regexp.MustCompile(`(?i)(?:data|javascript|blob):[a-z]+/|javascript:`),
	}
	for name, body := range ours(t) {
		for what, pattern := range banned {
			if found := pattern.FindString(body); found != "" {
				t.Errorf("%s holds %s: %s", name, what, found)
			}
		}
	}
}

var (
	linked   = regexp.MustCompile(`(?:href|src)="(assets/[^"#]+)`)
	imported = regexp.MustCompile(`from "\./([^"]+)"`)
	asked    = regexp.MustCompile(`(?:byId|label|use)\("([a-z0-9-]+)"`)
	variable = regexp.MustCompile(`(?:var\(|ink\(|colour\()["` + "`" + `]?(--[a-z0-9-]+)`)
)

func TestEveryFileAndElementThatIsNamedExists(t *testing.T) {
	files := ours(t)
	all := everyAsset(t)
	index := files["index.html"]
	for _, link := range linked.FindAllStringSubmatch(index, -1) {
		if _, ok := all[strings.TrimPrefix(link[1], "assets/")]; !ok {
			t.Errorf("index.html names %s, which does not exist", link[1])
		}
	}
	for name, body := range files {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, match := range imported.FindAllStringSubmatch(body, -1) {
			if _, ok := files["js/"+match[1]]; !ok {
				t.Errorf("%s imports %s, which does not exist", name, match[1])
			}
		}
		for _, match := range asked.FindAllStringSubmatch(body, -1) {
			if !strings.Contains(index, `id="`+match[1]+`"`) {
				t.Errorf("%s asks for element %q, which index.html does not hold", name, match[1])
			}
		}
	}
}

func TestEveryColourThatIsUsedIsDefined(t *testing.T) {
	files := ours(t)
	var styles strings.Builder
	for name, body := range files {
		if path.Ext(name) == ".css" || path.Ext(name) == ".js" {
			styles.WriteString(body)
		}
	}
	for name, body := range files {
		for _, match := range variable.FindAllStringSubmatch(body, -1) {
			if strings.HasSuffix(match[1], "-") || match[1] == "--u" {
				continue // built from the urgency's number
			}
			if !strings.Contains(styles.String(), match[1]+":") && !strings.Contains(styles.String(), `"`+match[1]+`"`) {
				t.Errorf("%s uses %s, which no style defines", name, match[1])
			}
		}
	}
}

func TestEachFileHoldsOneIdea(t *testing.T) {
	for name, body := range ours(t) {
		if lines := strings.Count(body, "\n"); lines >= 300 {
			t.Errorf("%s has %d lines: split it", name, lines)
		}
	}
}
