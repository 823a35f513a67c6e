package engine

import "unicode/utf8"

// runes checks UTF-8 that comes in pieces, and fails at the first byte that cannot become right any more.
type runes struct {
	tail [utf8.UTFMax]byte
	n    int
}

// add checks the next piece.
func (r *runes) add(piece []byte) bool {
	for r.n > 0 && len(piece) > 0 {
		r.tail[r.n] = piece[0]
		r.n++
		piece = piece[1:]
		if !utf8.FullRune(r.tail[:r.n]) {
			continue
		}
		if c, size := utf8.DecodeRune(r.tail[:r.n]); c == utf8.RuneError && size <= 1 {
			return false
		}
		r.n = 0
	}
	cut := wholeRunes(piece)
	if cut < len(piece) {
		r.n = copy(r.tail[:], piece[cut:])
	}
	return utf8.Valid(piece[:cut])
}

// whole reports whether what came so far ends at the end of a character.
func (r *runes) whole() bool { return r.n == 0 }

// wholeRunes is where a character begins that the end of piece cuts; len(piece) when none is cut.
func wholeRunes(piece []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(piece); back++ {
		start := len(piece) - back
		if utf8.RuneStart(piece[start]) {
			if utf8.FullRune(piece[start:]) {
				return len(piece)
			}
			return start
		}
	}
	return len(piece)
}
