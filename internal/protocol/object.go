package protocol

import (
	"encoding/json"
	"unicode/utf8"
)

// object is a frame taken apart: its fields, each with the raw JSON of its value.
type object struct {
	fields []field
}

type field struct {
	name string
	raw  []byte
}

// parse takes a frame apart after checking everything that holds for every frame.
func parse(data []byte, limit int) (object, *BadFrame) {
	switch {
	case len(data) == 0:
		return object{}, badFrame("is empty: send a JSON object with a type field")
	case len(data) > limit:
		return object{}, tooBig("", "has %d bytes: at most %d are allowed", len(data), limit)
	case !utf8.Valid(data):
		return object{}, badFrame("is not UTF-8: encode it as UTF-8")
	case depth(data) > MaxDepth:
		return object{}, badFrame("nests deeper than %d levels: flatten it", MaxDepth)
	case !json.Valid(data):
		return object{}, badFrame("is not one JSON value: send exactly one JSON object a frame")
	}
	return split(data)
}

// depth is how deep brackets nest outside strings. It needs no valid JSON: it runs first.
func depth(data []byte) int {
	level, deepest := 0, 0
	inside := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// split finds the fields of an object in valid JSON.
func split(data []byte) (object, *BadFrame) {
	var o object
	i := space(data, 0)
	if data[i] != '{' {
		return o, badFrame("is not a JSON object: send an object with a type field")
	}
	for i = space(data, i+1); data[i] != '}'; i = space(data, i) {
		if data[i] == ',' {
			i = space(data, i+1)
		}
		end := skip(data, i)
		name, whole := unquote(data[i:end])
		if !whole {
			return o, badFrame("has a field name with half a surrogate pair: write whole characters")
		}
		i = space(data, space(data, end)+1) // over the colon
		end = skip(data, i)
		if fault := o.add(name, data[i:end]); fault != nil {
			return o, fault
		}
		i = end
	}
	return o, nil
}

func (o *object) add(name string, raw []byte) *BadFrame {
	if len(o.fields) == maxFields {
		return badFrame("has more than %d fields: known frames need at most six", maxFields)
	}
	for _, f := range o.fields {
		if f.name == name {
			return badField(name, "is there twice: send it once")
		}
	}
	o.fields = append(o.fields, field{name: name, raw: raw})
	return nil
}

// get finds a field's raw value; nil when it is not there.
func (o *object) get(name string) []byte {
	for _, f := range o.fields {
		if f.name == name {
			return f.raw
		}
	}
	return nil
}

// space is the index of the first byte at or after i that is no white space.
func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// skip is the index after the JSON value that starts at i, in valid JSON.
func skip(data []byte, i int) int {
	switch data[i] {
	case '"':
		return skipString(data, i)
	case '{', '[':
		return skipNested(data, i)
	}
	for i < len(data) {
		switch data[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return i
		}
		i++
	}
	return i
}

func skipString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipNested(data []byte, i int) int {
	level := 0
	for {
		switch data[i] {
		case '"':
			i = skipString(data, i)
			continue
		case '{', '[':
			level++
		case '}', ']':
			level--
		}
		i++
		if level == 0 {
			return i
		}
	}
}
