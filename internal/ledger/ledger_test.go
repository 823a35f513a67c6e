package ledger_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/internal/ledger"
)

func TestTheBooksTellWhatWentWrong(t *testing.T) {
	tests := map[string]struct {
		story func(l *ledger.Ledger)
		want  ledger.Report
	}{
		"nothing happened": {func(*ledger.Ledger) {}, ledger.Report{}},
		"all is well, with a message that was not accepted and arrived": {func(l *ledger.Ledger) {
			l.Accepted("a", "b", 1)
			l.Received("b", "a", 1)
			l.Received("b", "a", 2)
		}, ledger.Report{Sent: 3, Accepted: 1, Received: 2}},
		"an accepted message is lost": {func(l *ledger.Ledger) {
			l.Accepted("a", "b", 1)
			l.Accepted("a", "b", 2)
			l.Received("b", "a", 2)
		}, ledger.Report{Sent: 3, Accepted: 2, Received: 1, Missing: 1}},
		"a message comes after a later one": {func(l *ledger.Ledger) {
			l.Received("b", "a", 2)
			l.Received("b", "a", 1)
			l.Received("b", "a", 3)
		}, ledger.Report{Sent: 3, Received: 3, Inversions: 1}},
		"a message comes twice, which is no inversion": {func(l *ledger.Ledger) {
			l.Received("b", "a", 1)
			l.Received("b", "a", 2)
			l.Received("b", "a", 1)
		}, ledger.Report{Sent: 3, Received: 2, Duplicates: 1}},
		"a message comes from nowhere": {func(l *ledger.Ledger) {
			l.Received("b", "a", 1000)
		}, ledger.Report{Sent: 3, Received: 1, Strange: 1}},
		"another pair's order is its own": {func(l *ledger.Ledger) {
			l.Sent("c", "b", 1)
			l.Received("b", "a", 3)
			l.Received("b", "c", 1)
		}, ledger.Report{Sent: 4, Received: 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := ledger.New()
			for number := range uint64(3) {
				l.Sent("a", "b", number+1)
				l.Sent("a", "b", number+1)
			}
			if name == "nothing happened" {
				test.want.Sent = 3
			}
			test.story(l)
			got := l.Report()
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(ledger.Report{}, "Examples")); diff != "" {
				t.Fatalf("the report is wrong (-want +got):\n%s", diff)
			}
			wrong := got.Missing+got.Inversions+got.Duplicates+got.Strange > 0
			if got.Clean() == wrong || wrong != strings.Contains(got.String(), ": ") {
				t.Fatalf("clean: %v, although the report is: %s", got.Clean(), got)
			}
		})
	}
}

func TestTheBooksAreSharedByManyClients(t *testing.T) {
	l := ledger.New()
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			name := strconv.Itoa(client)
			for number := range uint64(1000) {
				l.Sent(name, "to", number)
				l.Accepted(name, "to", number)
				l.Received("to", name, number)
			}
		})
	}
	wg.Wait()
	if report := l.Report(); !report.Clean() || report.Received != 8000 {
		t.Fatalf("the report is %s", report)
	}
}

func BenchmarkReceived(b *testing.B) {
	l := ledger.New()
	b.ReportAllocs()
	number := uint64(0)
	for b.Loop() {
		l.Sent("from", "to", number)
		l.Received("to", "from", number)
		number++
	}
}
