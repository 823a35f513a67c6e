package report

import (
	"crypto/sha256"
	_ "embed" // the page's own parts
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/tidegate/tidegate/internal/backtest"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/uplot"
)

//go:embed assets/page.html
var pageText string

//go:embed assets/page.css
var pageStyle string

//go:embed assets/page.js
var pageScript string

// page is what the template is filled with. Scripts and styles are this build's own; everything else is text.
type page struct {
	Title           string
	Head, Goal      []string
	Lines           []pageLine
	Notes           []string
	Styles          []template.CSS
	Scripts         []template.JS
	Data            template.JS
	ChartsNote      string
	Licence         string
	ContentSecurity string
}

type pageLine struct {
	Name  string
	Ours  bool
	Cells []pageCell
}

type pageCell struct{ Text, Mark, By string }

// HTML writes one file that needs nothing but a browser: the table, and the charts of each trace. It loads nothing from
// anywhere, and what comes from a trace's file stays text.
func HTML(w io.Writer, results []backtest.Result) error {
	note := "Charts show the first seed, over the time since it began; the tables are the means of all seeds."
	return render(w, "Backtest", note, sheetOf(results), documentOf(results))
}

// ReplayHTML writes a replay as HTML does a backtest.
func ReplayHTML(w io.Writer, o recording.Outcome) error {
	return render(w, "Replay of "+o.Header.Fleet.String(), "Times are since the first reading; counts are the largest of a span.", replaySheet(o), replayDocument(o))
}

func render(w io.Writer, title, note string, s sheet, d document) error {
	parsed, err := template.New("report").Parse(pageText)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	p, err := compose(title, note, s, d)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := parsed.Execute(w, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func compose(title, note string, s sheet, d document) (page, error) {
	p := page{Title: title, ChartsNote: note, Head: s.head, Goal: s.goal, Notes: s.notes}
	for _, l := range s.lines {
		line := pageLine{Name: l.name, Ours: l.ours}
		for _, c := range l.cells {
			line.Cells = append(line.Cells, pageCell{Text: c.text, Mark: [...]string{"", "met", "missed"}[c.mark], By: c.by})
		}
		p.Lines = append(p.Lines, line)
	}
	library, err := uplot.Read(uplot.Script)
	if err != nil {
		return page{}, err
	}
	looks, err := uplot.Read(uplot.Style)
	if err != nil {
		return page{}, err
	}
	licence, err := uplot.Read("LICENSE")
	if err != nil {
		return page{}, err
	}
	body, err := json.Marshal(d) // which writes < and > so that no name ends the element it is in
	if err != nil {
		return page{}, err
	}
	p.Licence = string(licence)
	//nolint:gosec // all three are this build's own files, or JSON without any < or >
	p.Styles, p.Scripts, p.Data = []template.CSS{template.CSS(looks), template.CSS(pageStyle)}, []template.JS{template.JS(library), template.JS(pageScript)}, template.JS(body)
	p.ContentSecurity = contentSecurity([]string{string(library), pageScript}, []string{string(looks), pageStyle})
	return p, nil
}

// contentSecurity lets a browser run and use what this build put into the page, by its hash, and load nothing at all. Should a
// name ever become markup, it stays dead.
func contentSecurity(scripts, styles []string) string {
	return "default-src 'none'; base-uri 'none'; form-action 'none'; script-src " + hashes(scripts) + "; style-src " + hashes(styles)
}

func hashes(texts []string) string {
	out := make([]string, len(texts))
	for i, text := range texts {
		sum := sha256.Sum256([]byte(text))
		out[i] = "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return strings.Join(out, " ")
}
