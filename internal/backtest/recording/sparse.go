package recording

import (
	"bytes"
	"errors"
	"fmt"
)

const (
	// mostLists is how many lists and objects a line may hold: what a recorder writes into one takes 56 bytes and more.
	mostLists = maxLine / 56
	// deepest is how far they may be inside each other.
	deepest = 32
)

// sparse looks at a line before it is decoded. A few bytes of JSON may become hundreds in memory, so lists are counted first: a
// line that passes costs a small multiple of its length.
func sparse(line []byte) error {
	if len(line) > maxLine {
		return errTooLong
	}
	var entries [deepest + 1]int
	depth, lists := 0, 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			i = pastString(line, i)
		case '{', '[':
			if lists, depth = lists+1, depth+1; depth > deepest {
				return fmt.Errorf("its lists are over %d deep, which no recorder writes", deepest)
			}
			entries[depth] = 1
			if lists > mostLists {
				return fmt.Errorf("it holds over %d lists and objects, which no recorder writes", mostLists)
			}
		case '}', ']':
			if depth--; depth < 0 {
				return errors.New("it ends a list that never began")
			}
		case ',':
			if entries[depth]++; entries[depth] > mostNodes {
				return fmt.Errorf("a list in it has over %d entries, which no recorder writes", mostNodes)
			}
		}
	}
	return nil
}

// pastString is where the string ends that begins here; at the line's end where it does not.
func pastString(line []byte, at int) int {
	for i := at + 1; i < len(line); i++ {
		next := bytes.IndexAny(line[i:], `"\`)
		if next < 0 {
			return len(line)
		}
		if i += next; line[i] == '"' {
			return i
		}
		i++ // what is escaped
	}
	return len(line)
}
