package token_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/token"
)

const (
	keyA = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	keyB = "b:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
)

func ring(tb testing.TB, lines ...string) *token.Ring {
	tb.Helper()
	r, err := token.ParseRing(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func session() token.Resume {
	return token.Resume{
		Fleet: fleet.ID{Namespace: "chat", Name: "socket"}, Client: "alice", Session: "s1", Epoch: 7, Expires: at.Add(5 * time.Minute),
	}
}

func TestAResumeTokenProvesWhatWasSigned(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := ring(t, keyA)
		name := rapid.StringMatching(`[a-z0-9]{1,60}`)
		want := token.Resume{
			Fleet:  fleet.ID{Namespace: name.Draw(rt, "namespace"), Name: name.Draw(rt, "name")},
			Client: rapid.StringN(1, 64, 256).Draw(rt, "client"), Session: rapid.String().Draw(rt, "session"), Epoch: rapid.Uint64().Draw(rt, "epoch"),
			Expires: at.Add(time.Duration(rapid.IntRange(1, 1e9).Draw(rt, "ms")) * time.Millisecond),
		}
		got, err := r.VerifyFor(r.Sign(want), want.Fleet, want.Client, at)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			rt.Fatalf("%v (-signed +verified)\n%s", err, diff)
		}
	})
}

func TestAForeignOrOldResumeTokenIsRefused(t *testing.T) {
	signer, s := ring(t, keyA), session()
	raw := signer.Sign(s)
	moved := func(from, to string) string { // shifts a byte between two neighbouring names
		other := s
		other.Client, other.Session = from, to
		return signer.Sign(other)
	}
	tests := []struct {
		name   string
		ring   *token.Ring
		raw    string
		fleet  fleet.ID
		client string
		now    time.Time
	}{
		{"for another client", signer, raw, s.Fleet, "bob", at},
		{"for a client whose id only begins alike", signer, raw, s.Fleet, "alic", at},
		{"for another fleet", signer, raw, fleet.ID{Namespace: "chat", Name: "other"}, "alice", at},
		{"for a fleet whose text is the same in other parts", signer, raw, fleet.ID{Namespace: "cha", Name: "tsocket"}, "alice", at},
		{"at the moment it expires", signer, raw, s.Fleet, "alice", s.Expires},
		{"replayed a day later", signer, raw, s.Fleet, "alice", at.Add(24 * time.Hour)},
		{"signed with a key that was rotated out", ring(t, keyB), raw, s.Fleet, "alice", at},
		{"signed with another key of the same name", ring(t, "a"+keyB[1:]), raw, s.Fleet, "alice", at},
		{"with its names cut at another place", signer, moved("alices", "1"), s.Fleet, "alice", at},
		{"empty", signer, "", s.Fleet, "alice", at},
		{"only the version", signer, "tr1.", s.Fleet, "alice", at},
		{"of another version", signer, "tr2" + raw[3:], s.Fleet, "alice", at},
		{"with padding", signer, raw + "=", s.Fleet, "alice", at},
		{"with a line break", signer, raw[:20] + "\n" + raw[20:], s.Fleet, "alice", at},
		{"twice", signer, raw + raw, s.Fleet, "alice", at},
		{"of a megabyte", signer, "tr1." + strings.Repeat("A", 1<<20), s.Fleet, "alice", at},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.ring.VerifyFor(tt.raw, tt.fleet, tt.client, tt.now)
			if !errors.Is(err, token.ErrResume) {
				t.Fatalf("it was accepted: %+v, %v; somebody else's session could be taken over", got, err)
			}
			if strings.Contains(err.Error(), raw[4:24]) {
				t.Errorf("error %q repeats the token", err)
			}
		})
	}
}

func TestAResumeTokenWithAnyByteChangedOrCutIsRefused(t *testing.T) {
	r := ring(t, keyA, keyB)
	raw := r.Sign(session())
	for i := range len(raw) {
		for _, to := range "AZaz09-_.=" {
			if changed := raw[:i] + string(to) + raw[i+1:]; changed != raw {
				if got, err := r.Verify(changed, at); err == nil {
					t.Fatalf("with byte %d changed to %q it was accepted: %+v", i, to, got)
				}
			}
		}
		if _, err := r.Verify(raw[:i], at); err == nil {
			t.Fatalf("cut to %d bytes it was accepted", i)
		}
	}
}

func TestKeysRotateWithoutLosingSessions(t *testing.T) {
	s := session()
	before, during, after := ring(t, keyA), ring(t, keyB, keyA), ring(t, keyB)
	old, young := before.Sign(s), during.Sign(s)
	if _, err := during.Verify(old, at); err != nil {
		t.Errorf("the old key's token while both are there: %v", err)
	}
	if _, err := after.Verify(young, at); err != nil {
		t.Errorf("the new key did not sign while it was first: %v", err)
	}
	if _, err := after.Verify(old, at); err == nil {
		t.Error("the old key's token was accepted after the key was taken out")
	}
}

func TestBadRingsAreRefusedWithoutRepeatingAKey(t *testing.T) {
	const hush = "c2VjcmV0c2VjcmV0"
	many := make([]string, 17)
	for i := range many {
		many[i] = token.NewKeyLine("k" + string(rune('a'+i)))
	}
	for name, text := range map[string]string{
		"an empty file": "", "only comments": "# " + hush + "\n\n", "no colon": hush, "no name": ":" + hush, "a name with a space": "a b:" + hush,
		"a short key": "a:" + hush, "no base64": "a:" + hush + "!", "a name twice": keyA + "\n" + keyA, "seventeen keys": strings.Join(many, "\n"),
		"an endless line": "a:" + strings.Repeat(hush, 10000),
	} {
		_, err := token.ParseRing(strings.NewReader(text))
		if err == nil || strings.Contains(err.Error(), hush) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestARingIsReadFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	text := "# rotated on Monday\n\n" + token.NewKeyLine("new") + "\r\n " + keyA + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := token.LoadRing(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{r.Sign(session()), ring(t, keyA).Sign(session())} {
		if _, err := r.Verify(raw, at); err != nil {
			t.Error(err)
		}
	}
	if _, err := token.LoadRing(path + ".missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
}

// FuzzVerifyResume checks that whatever verifies is, letter for letter, what the ring signed.
func FuzzVerifyResume(f *testing.F) {
	r, s := ring(f, keyA, keyB), session()
	raw := r.Sign(s)
	f.Add(raw, uint16(0), byte(0))
	f.Add(raw, uint16(30), byte(1))
	f.Add("tr1.AWEBYQFh", uint16(1), byte(7))
	f.Add(ring(f, keyB).Sign(s), uint16(5), byte(255))
	f.Fuzz(func(t *testing.T, text string, place uint16, flip byte) {
		for _, candidate := range []string{text, flipped(text, place, flip), flipped(raw, place, flip)} {
			got, err := r.Verify(candidate, at)
			if err != nil {
				if !errors.Is(err, token.ErrResume) {
					t.Fatalf("%q: %v", candidate, err)
				}
				continue
			}
			if signed := r.Sign(got); candidate != signed && candidate != ring(t, keyB).Sign(got) || got != s {
				t.Fatalf("%q was accepted as %+v, which nobody signed", candidate, got)
			}
		}
	})
}

func flipped(text string, place uint16, flip byte) string {
	if text == "" {
		return text
	}
	b := []byte(text)
	b[int(place)%len(b)] ^= flip
	return string(b)
}

func BenchmarkResume(b *testing.B) {
	r, s := ring(b, keyA), session()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.VerifyFor(r.Sign(s), s.Fleet, s.Client, at); err != nil {
			b.Fatal(err)
		}
	}
}
