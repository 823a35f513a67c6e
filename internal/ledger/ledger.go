// Package ledger judges delivery: every fault test and the demo tell it what was sent, accepted and received, and it
// says what is missing, out of order or double.
package ledger

import (
	"fmt"
	"strings"
	"sync"
)

// flow is one sender's messages to one recipient; their order is what counts.
type flow struct{ from, to string }

// The marks of a message.
const (
	sent byte = 1 << iota
	accepted
	received
)

// pageSize is how many sequence numbers share a page: flows are dense, so a message costs about a byte.
const pageSize = 32

type page [pageSize]byte

type account struct {
	pages map[uint64]*page
	// newest is the highest number of any first receipt, begun says that there is one.
	newest uint64
	begun  bool
}

// Ledger keeps the books. Its methods are safe for concurrent use. A message is known by its sender, its recipient
// and its number, which grows from message to message of that pair, best by one.
type Ledger struct {
	mu       sync.Mutex
	accounts map[flow]*account
	report   Report
}

// Report is the state of the books.
type Report struct {
	// Sent, Accepted and Received count messages, each once.
	Sent, Accepted, Received int
	// Missing were accepted and not received. Before all deliveries are over, some always are.
	Missing int
	// Inversions are first receipts of a message after a later one of the same sender.
	Inversions int
	// Duplicates are receipts after the first.
	Duplicates int
	// Strange were received and never sent.
	Strange int
	// Examples names some of what is wrong.
	Examples []string
}

// maxExamples bounds what a report names.
const maxExamples = 10

// New opens empty books.
func New() *Ledger { return &Ledger{accounts: make(map[flow]*account)} }

// Sent records that a sender has sent a message, however often.
func (l *Ledger) Sent(from, to string, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.account(from, to).mark(number, sent) {
		l.report.Sent++
	}
}

// Accepted records that a sender has seen its message accepted: from now on it must not be lost.
func (l *Ledger) Accepted(from, to string, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.account(from, to).mark(number, accepted) {
		l.report.Accepted++
	}
}

// Received records that a recipient's application has seen a message, each time it does, and says whether it was the
// first time.
func (l *Ledger) Received(to, from string, number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(from, to)
	if a.get(number)&sent == 0 {
		l.report.Strange++
		l.example("%s received %d from %s, who never sent it", to, number, from)
	}
	if !a.mark(number, received) {
		l.report.Duplicates++
		l.example("%s received %d from %s again", to, number, from)
		return false
	}
	l.report.Received++
	if a.begun && number < a.newest {
		l.report.Inversions++
		l.example("%s received %d from %s after %d", to, number, from, a.newest)
	}
	a.newest, a.begun = max(a.newest, number), true
	return true
}

// Report reads the books.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	report := l.report
	report.Examples = append([]string(nil), report.Examples...)
	for f, a := range l.accounts {
		for first, p := range a.pages {
			for i, marks := range p {
				if marks&(accepted|received) != accepted {
					continue
				}
				report.Missing++
				if len(report.Examples) < maxExamples {
					report.Examples = append(report.Examples, fmt.Sprintf("%s never received %d from %s", f.to, first*pageSize+uint64(i), f.from))
				}
			}
		}
	}
	return report
}

// Clean says that no accepted message is missing, none came out of order or from nowhere, and no application saw one
// twice.
func (r Report) Clean() bool {
	return r.Missing == 0 && r.Inversions == 0 && r.Duplicates == 0 && r.Strange == 0
}

// String is the report in one line, with its examples behind it.
func (r Report) String() string {
	text := fmt.Sprintf("sent %d, accepted %d, received %d, missing %d, inversions %d, duplicates %d, strange %d",
		r.Sent, r.Accepted, r.Received, r.Missing, r.Inversions, r.Duplicates, r.Strange)
	if len(r.Examples) > 0 {
		text += ": " + strings.Join(r.Examples, "; ")
	}
	return text
}

func (l *Ledger) example(format string, args ...any) {
	if len(l.report.Examples) < maxExamples {
		l.report.Examples = append(l.report.Examples, fmt.Sprintf(format, args...))
	}
}

func (l *Ledger) account(from, to string) *account {
	f := flow{from: from, to: to}
	a := l.accounts[f]
	if a == nil {
		a = &account{pages: make(map[uint64]*page)}
		l.accounts[f] = a
	}
	return a
}

func (a *account) get(number uint64) byte {
	if p := a.pages[number/pageSize]; p != nil {
		return p[number%pageSize]
	}
	return 0
}

// mark sets a mark and says whether it was not set before.
func (a *account) mark(number uint64, mark byte) bool {
	p := a.pages[number/pageSize]
	if p == nil {
		p = &page{}
		a.pages[number/pageSize] = p
	}
	before := p[number%pageSize]
	p[number%pageSize] = before | mark
	return before&mark == 0
}
