package session

import "testing"

// FuzzStoredRecord reads what anybody may have written into Redis: a record is none, or one whose offset a client
// frame could carry.
func FuzzStoredRecord(f *testing.F) {
	f.Add("3", "s", "chat-a", "t1", "41")
	f.Add("", "", "", "", "")
	f.Add("-1", "s", "n", "t 1", "x")
	f.Add("18446744073709551616", "s", "n", "t", "9223372036854775807")
	f.Fuzz(func(t *testing.T, epoch, session, node, topic, offset string) {
		r, found := parse("ada", []string{epoch, session, node, topic, offset})
		if !found && r != (Record{}) {
			t.Errorf("no record was found, and yet it says %+v", r)
		}
		if !r.Offset.IsZero() && r.Offset.Validate() != nil {
			t.Errorf("the offset %q:%q was taken: no client could send it back", topic, offset)
		}
	})
}
