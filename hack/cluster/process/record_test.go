package process

import "testing"

func TestAProgramsNameCannotHideItsState(t *testing.T) {
	const rest = " T 1 10 10 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1000 10"
	for _, name := range []string{"(sleep)", "(a b)", "(evil) R 1 2 3)", "()"} {
		started, state, err := parseStat([]byte("42 " + name + rest))
		if err != nil || started != 987654 || state != 'T' {
			t.Errorf("%s: started %d, state %c, %v", name, started, state, err)
		}
	}
	for _, bad := range []string{"", "42", "42 (x) R 1", "42 (x) T 1 10 10 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 soon 1"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a process state", bad)
		}
	}
}
