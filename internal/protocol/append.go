package protocol

import (
	"strconv"
	"time"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// open starts a frame of a type. Every field after it begins with a comma.
func open(dst []byte, kind string) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, kind...)
	return append(dst, '"')
}

func appendKey(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func appendText(dst []byte, name, value string) []byte {
	return appendString(appendKey(dst, name), value)
}

// appendSome writes the field only when there is a value: absent and empty are the same to a reader.
func appendSome(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendText(dst, name, value)
}

func appendOffset(dst []byte, o Offset) []byte {
	if o.IsZero() {
		return dst
	}
	dst = append(appendKey(dst, "offset"), '"')
	dst = append(dst, o.Topic...)
	dst = append(dst, ':')
	dst = strconv.AppendInt(dst, o.Value, 10)
	return append(dst, '"')
}

// appendMillis writes a duration in milliseconds, rounded up so that a client never comes back too early.
func appendMillis(dst []byte, name string, d time.Duration) []byte {
	if d <= 0 {
		return dst
	}
	millis := d.Milliseconds()
	if d%time.Millisecond != 0 {
		millis++
	}
	return strconv.AppendInt(appendKey(dst, name), millis, 10)
}

// appendTime writes a time as Unix milliseconds; times before 1970 have none and are written as 0.
func appendTime(dst []byte, name string, at time.Time) []byte {
	return strconv.AppendInt(appendKey(dst, name), max(0, at.UnixMilli()), 10)
}

// appendString writes a JSON string. It is valid for every value: what is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, value string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(value); {
		c := value[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(value[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			size = n
		}
		dst = append(dst, value[start:i]...)
		dst = appendEscape(dst, c)
		i += size
		start = i
	}
	dst = append(dst, value[start:]...)
	return append(dst, '"')
}

// appendEscape writes a byte that a JSON string cannot hold as it is.
func appendEscape(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c == '\t':
		return append(dst, '\\', 't')
	case c < ' ':
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	default:
		return utf8.AppendRune(dst, utf8.RuneError)
	}
}
