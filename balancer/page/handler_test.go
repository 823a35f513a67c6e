package page

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func twoFleets() *Feed {
	f := NewFeed(10)
	f.Publish(snapshotOf(games, 0, 3))
	f.Publish(snapshotOf(chat, 0, 5))
	f.Publish(snapshotOf(chat, 1, 6))
	return f
}

func TestEveryAnswerCarriesItsTypeAndTheContentPolicy(t *testing.T) {
	h, _ := logged(twoFleets())
	tests := []struct{ target, contentType, cache string }{
		{"/", "text/html; charset=utf-8", "no-cache"},
		{"/?fleet=prod/chat&theme=dark", "text/html; charset=utf-8", "no-cache"},
		{"/assets/js/app.js", "text/javascript; charset=utf-8", "no-cache"},
		{"/assets/css/base.css", "text/css; charset=utf-8", "no-cache"},
		{"/assets/favicon.svg", "image/svg+xml", "no-cache"},
		{"/assets/vendor/uplot/uPlot.iife.min.js", "text/javascript; charset=utf-8", "no-cache"},
		{"/assets/vendor/uplot/LICENSE", "text/plain; charset=utf-8", "no-cache"},
		{"/api/v1/status", "application/json; charset=utf-8", "no-store"},
		{"/api/v1/history", "application/json; charset=utf-8", "no-store"},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			w := get(t, h, tt.target)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d, want 200", w.Code)
			}
			want := map[string]string{
				"Content-Type": tt.contentType, "Cache-Control": tt.cache,
				"Content-Security-Policy": contentPolicy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			}
			for name, value := range want {
				if got := w.Header().Get(name); got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestThePolicyAllowsNoInlineScriptAndNoOtherHost(t *testing.T) {
	for _, loose := range []string{"unsafe", "*", "http:", "https:", "data:", "blob:"} {
		if strings.Contains(contentPolicy, loose) {
			t.Errorf("the content policy allows %q", loose)
		}
	}
	if !strings.HasPrefix(contentPolicy, "default-src 'self';") {
		t.Error("whatever is not named must come from this server")
	}
}

func TestAnAssetThatTheBrowserHoldsIsNotSentAgain(t *testing.T) {
	h, _ := logged(NewFeed(1))
	first := get(t, h, "/assets/js/app.js")
	etag := first.Header().Get("ETag")
	if etag == "" || first.Body.Len() == 0 {
		t.Fatal("an asset needs a body and an ETag")
	}
	r := httptest.NewRequest(http.MethodGet, "/assets/js/app.js", nil)
	r.Header.Set("If-None-Match", etag)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("status %d with %d bytes, want 304 without a body", w.Code, w.Body.Len())
	}
	if other := get(t, h, "/assets/js/dom.js").Header().Get("ETag"); other == etag {
		t.Error("two files have one ETag: a browser would run the wrong script")
	}
}

func TestWhatDoesNotExistIs404(t *testing.T) {
	h, _ := logged(NewFeed(1))
	for _, target := range []string{"/index.html", "/assets/", "/assets/js", "/assets/js/none.js", "/assets/..%2fpage.go", "/api/v1/", "/api/v1/nodes", "/favicon.ico"} {
		if w := get(t, h, target); w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d, want 404", target, w.Code)
		}
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	h, _ := logged(twoFleets())
	for _, target := range []string{"/", "/assets/js/app.js", "/api/v1/status", "/api/v1/history", "/api/v1/events"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
			if w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Header().Get("Allow"), "GET") {
				t.Errorf("%s %s answers %d (Allow %q), want 405 that names GET", method, target, w.Code, w.Header().Get("Allow"))
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, target, nil))
		if w.Code != http.StatusOK {
			t.Errorf("HEAD %s answers %d, want 200 at once", target, w.Code)
		}
	}
}

func TestAFleetThatCannotBeShownIsNamed(t *testing.T) {
	h, _ := logged(twoFleets())
	tests := []struct {
		name, query, says string
		code              int
	}{
		{"a fleet that is not known", "fleet=prod/none", `"prod/none" is unknown here`, http.StatusNotFound},
		{"a name without a slash", "fleet=chat", "write namespace/name", http.StatusBadRequest},
		{"markup", "fleet=%3Cscript%3E/x", "use lower-case letters", http.StatusBadRequest},
		{"an endless name", "fleet=a/" + strings.Repeat("b", 5000), "at most 253", http.StatusBadRequest},
	}
	for _, tt := range tests {
		for _, path := range []string{"status", "history", "events"} {
			t.Run(tt.name+" at "+path, func(t *testing.T) {
				w := get(t, h, "/api/v1/"+path+"?"+tt.query)
				answer := decode[map[string]string](t, w.Body)
				if w.Code != tt.code || !strings.Contains(answer["error"], tt.says) {
					t.Errorf("answers %d %q, want %d with %q", w.Code, answer["error"], tt.code, tt.says)
				}
			})
		}
	}
}

func TestStatusListsTheFleetsAndShowsTheOneAskedFor(t *testing.T) {
	h, _ := logged(twoFleets())
	type answer struct {
		Fleets   []string
		Snapshot *Snapshot
	}
	for query, want := range map[string]string{"": "prod/chat", "?fleet=prod/games": "prod/games"} {
		got := decode[answer](t, get(t, h, "/api/v1/status"+query).Body)
		if diff := cmp.Diff([]string{"prod/chat", "prod/games"}, got.Fleets); diff != "" {
			t.Errorf("fleets (-want +got):\n%s", diff)
		}
		if got.Snapshot == nil || got.Snapshot.Fleet.String() != want {
			t.Errorf("status%s shows %+v, want %s", query, got.Snapshot, want)
		}
	}
	empty, _ := logged(NewFeed(1))
	got := strings.TrimSpace(get(t, empty, "/api/v1/status").Body.String())
	if got != `{"fleets":[],"snapshot":null}` {
		t.Errorf("before any fleet the status is %s: a script must find a list and a null", got)
	}
}

func TestHistoryAnswersColumnsOfOneLength(t *testing.T) {
	h, _ := logged(twoFleets())
	got := decode[struct {
		Fleet   string
		Columns map[string][]float64
		Changes []Change
	}](t, get(t, h, "/api/v1/history?fleet=prod/chat").Body)
	if got.Fleet != "prod/chat" || len(got.Changes) != 2 || len(got.Columns) != 14 {
		t.Fatalf("fleet %q, %d changes, %d columns; want prod/chat, 2, 14", got.Fleet, len(got.Changes), len(got.Columns))
	}
	for name, column := range got.Columns {
		if len(column) != 2 {
			t.Errorf("column %s has %d values, want 2: charts would draw the wrong times", name, len(column))
		}
	}
	for _, since := range []string{"NaN", "-1", "yesterday", "1e999"} {
		if w := get(t, h, "/api/v1/history?since="+since); w.Code != http.StatusBadRequest {
			t.Errorf("since=%s answers %d, want 400", since, w.Code)
		}
	}
	empty, _ := logged(NewFeed(1))
	if body := get(t, empty, "/api/v1/history").Body.String(); strings.Contains(body, "null") {
		t.Errorf("before any fleet the history is %s: every column must be a list", body)
	}
}

func TestASnapshotThatJSONCannotSayIsLoggedAndToldAsAFault(t *testing.T) {
	f := NewFeed(1)
	s := snapshotOf(chat, 0, 3)
	s.Decision.Working.WantCPU = math.NaN()
	f.Publish(s)
	h, log := logged(f)
	w := get(t, h, "/api/v1/status")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "NaN") {
		t.Errorf("answers %d %s, want 500 without the inside", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "encode snapshot of prod/chat") {
		t.Errorf("the log says %q, want the fleet and the cause", log)
	}
	if w := get(t, h, "/api/v1/events"); !strings.Contains(log.String(), "status page cannot stream") || w.Code != http.StatusOK {
		t.Errorf("the stream must end with a line in the log, got %q", log)
	}
}
