package protocol

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote reads a valid JSON string. It reports false for half a surrogate pair, which other readers turn into U+FFFD: two
// different ids would become one.
func unquote(raw []byte) (string, bool) {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			out = append(out, inner[i])
			i++
			continue
		}
		if inner[i+1] != 'u' {
			out = append(out, unescape(inner[i+1]))
			i += 2
			continue
		}
		r, size := unicodeEscape(inner[i:])
		if size == 0 {
			return "", false
		}
		out = utf8.AppendRune(out, r)
		i += size
	}
	return string(out), true
}

// unescape is what a one-letter escape means; quote, backslash and slash mean themselves.
func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c
	}
}

// unicodeEscape reads \u with its four hex digits, or a whole surrogate pair of two, at the start of text; its size is 0 for half a pair.
func unicodeEscape(text []byte) (rune, int) {
	r := hex4(text[2:6])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(text) < 12 || text[6] != '\\' || text[7] != 'u' {
		return 0, 0
	}
	whole := utf16.DecodeRune(r, hex4(text[8:12]))
	if whole == utf8.RuneError {
		return 0, 0
	}
	return whole, 12
}

// hex4 reads four digits that the JSON syntax check has seen.
func hex4(digits []byte) rune {
	value, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(value)
}
