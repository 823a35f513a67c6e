package fleet

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseReadsNamespaceAndName(t *testing.T) {
	t.Parallel()
	got, err := Parse("shop/chat-7.eu")
	if want := (ID{Namespace: "shop", Name: "chat-7.eu"}); err != nil || got != want {
		t.Errorf("got %+v, %v: want %+v", got, err, want)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "has no slash: write namespace/name",
		"chat":                             `fleet "chat" has no slash`,
		"/chat":                            `fleet namespace "": is empty`,
		"shop/":                            `fleet name "": is empty`,
		"shop/chat/x":                      `has '/' at byte 4`,
		"Shop/chat":                        `has 'S' at byte 0`,
		"shop/-chat":                       `has '-' at byte 0`,
		"shop/chat-":                       `has '-' at byte 4`,
		"shop/ch{t}":                       `has '{' at byte 2`, // would break the Redis hash tag
		"shop/ch t":                        `has ' ' at byte 2`,
		"shop/чат":                         `has 'ч' at byte 0`,
		"shop/\xff":                        `at byte 0`,
		"shop/" + strings.Repeat("a", 254): "has 254 bytes: at most 253 are allowed",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v: want one with %q", text, err, want)
		}
	}
}

// Names that parse are safe in Redis keys, Kafka topics and URLs, and read back as they were.
func FuzzParseID(f *testing.F) {
	f.Add("shop/chat")
	f.Add("a.b/c-d.0")
	f.Add("{}/x")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := Parse(text)
		if err != nil {
			return
		}
		if id.String() != text {
			t.Fatalf("%q reads as %q", text, id)
		}
		if strings.ContainsAny(id.Namespace+id.Name, "{}/:?#% \x00") {
			t.Fatalf("%q holds a character that means something in a key or a URL", text)
		}
		var again ID
		if body, err := id.MarshalText(); err != nil || again.UnmarshalText(body) != nil || again != id {
			t.Fatalf("%q became %q on its way", text, again)
		}
	})
}

func TestABrokenIDLeavesTheOldOneAlone(t *testing.T) {
	t.Parallel()
	id := ID{Namespace: "shop", Name: "chat"}
	if err := id.UnmarshalText([]byte("nonsense")); err == nil || id.String() != "shop/chat" {
		t.Errorf("id is %s after error %v", id, err)
	}
}

func TestNodeNamesAreThoseOfPods(t *testing.T) {
	t.Parallel()
	if err := NodeID("chat-7d9f-x2x4z").Validate(); err != nil {
		t.Errorf("a pod's name is refused: %v", err)
	}
	for _, bad := range []NodeID{"", "Chat", "a/b", "a b", "-a"} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "node ") {
			t.Errorf("node %q: error %v: want one that names it", string(bad), err)
		}
	}
}

func TestStatesAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for state, want := range map[State]string{
		Starting: "starting", Serving: "serving", Leaving: "leaving", Draining: "draining", Gone: "gone",
	} {
		body, err := state.MarshalText()
		if err != nil || string(body) != want {
			t.Errorf("%s is written as %q, %v", state, body, err)
		}
		var again State
		if err := again.UnmarshalText(body); err != nil || again != state {
			t.Errorf("%q is read as %s, %v", body, again, err)
		}
	}
}

func TestUnknownStatesAreErrors(t *testing.T) {
	t.Parallel()
	if body, err := State(0).MarshalText(); err == nil {
		t.Errorf("a state that was never set is written as %q", body)
	}
	if got := State(99).String(); got != "state(99)" {
		t.Errorf("an unknown state is called %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z]{0,9}`).Draw(t, "text")
		state := Serving
		if err := state.UnmarshalText([]byte(text)); err == nil {
			if state.String() != text {
				t.Fatalf("%q reads as %s", text, state)
			}
		} else if state != Serving || !strings.Contains(err.Error(), "want starting, serving, leaving, draining or gone") {
			t.Fatalf("%q: state %s, error %v", text, state, err)
		}
	})
}
