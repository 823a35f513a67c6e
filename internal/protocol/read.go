package protocol

import (
	"bytes"
	"strconv"
	"time"
)

// maxMillis is the end of the year 9999 in Unix milliseconds: no time in a frame is later.
const maxMillis = 253_402_300_799_999

// reader reads the fields of one frame and keeps the first fault.
type reader struct {
	o     object
	fault *BadFrame
}

func (r *reader) fail(fault *BadFrame) {
	if r.fault == nil {
		r.fault = fault
	}
}

// value is the raw value of a field that must be there.
func (r *reader) value(name string) []byte {
	raw := r.o.get(name)
	if raw == nil {
		r.fail(badField(name, "is missing: this frame needs it"))
	}
	return raw
}

// text reads a string of 1 to limit bytes.
func (r *reader) text(name string, limit int) string {
	text := r.optional(name, limit)
	if text == "" && r.fault == nil {
		if r.o.get(name) == nil {
			r.fail(badField(name, "is missing: this frame needs it"))
		} else {
			r.fail(badField(name, "is empty: want 1 to %d bytes", limit))
		}
	}
	return text
}

// optional reads a string of at most limit bytes; an absent one is empty.
func (r *reader) optional(name string, limit int) string {
	raw := r.o.get(name)
	if raw == nil {
		return ""
	}
	if raw[0] != '"' {
		r.fail(badField(name, "is %s: send a string", kind(raw)))
		return ""
	}
	text, whole := unquote(raw)
	switch {
	case !whole:
		r.fail(badField(name, "has half a surrogate pair: write whole characters"))
	case len(text) > limit:
		r.fail(tooBig(name, "has %d bytes: at most %d are allowed", len(text), limit))
	default:
		return text
	}
	return ""
}

// name reads an id: bounded, and without control characters.
func (r *reader) name(field string, limit int) string {
	id := r.text(field, limit)
	if r.fault != nil {
		return ""
	}
	if fault := nameFault(id, limit); fault != "" {
		r.fail(badField(field, "%s", fault))
		return ""
	}
	return id
}

// offset reads an offset that must be there; loose allows it to be absent.
func (r *reader) offset(loose bool) Offset {
	if loose && r.o.get("offset") == nil {
		return Offset{}
	}
	text := r.text("offset", maxTopicBytes+1+19)
	if r.fault != nil {
		return Offset{}
	}
	offset, err := ParseOffset(text)
	if err != nil {
		r.fail(badField("offset", "is wrong: %s", err.Error()))
		return Offset{}
	}
	return offset
}

// number reads a plain integer from 0 to limit.
func (r *reader) number(name string, limit uint64) uint64 {
	raw := r.value(name)
	if raw == nil {
		return 0
	}
	value, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || value > limit {
		r.fail(badField(name, "is %s: send a whole number from 0 to %d, without fraction or exponent", quoteShort(string(raw)), limit))
		return 0
	}
	return value
}

// millis reads a duration in milliseconds; an absent one is zero.
func (r *reader) millis(name string) time.Duration {
	if r.o.get(name) == nil {
		return 0
	}
	return time.Duration(r.number(name, uint64((1<<63-1)/time.Millisecond))) * time.Millisecond
}

// instant reads a time in Unix milliseconds.
func (r *reader) instant(name string) time.Time {
	return time.UnixMilli(int64(r.number(name, maxMillis))).UTC()
}

func (r *reader) flag(name string) bool {
	raw := r.value(name)
	switch string(raw) {
	case "true":
		return true
	case "false", "":
		return false
	}
	r.fail(badField(name, "is %s: send true or false", kind(raw)))
	return false
}

// payload copies the raw value, so that it outlives the frame's bytes.
func (r *reader) payload() []byte { return bytes.Clone(r.value("payload")) }

// kind names what sort of JSON value raw is, for messages.
func kind(raw []byte) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
