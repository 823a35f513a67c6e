package protocol

import (
	"fmt"
	"strconv"
	"strings"
)

// maxTopicBytes is the longest short id of a topic.
const maxTopicBytes = 32

// Offset is a place in a client's inbox: a message's Kafka offset with the short id of the topic that gave it, so that an
// offset of a topic that was made anew counts as none. Clients keep it as an opaque text. The zero Offset is none.
type Offset struct {
	// Topic is the topic's short id: 1 to 32 of A-Z a-z 0-9 _ -.
	Topic string
	// Value is the Kafka offset, never negative.
	Value int64
}

// IsZero reports whether o is no offset at all.
func (o Offset) IsZero() bool { return o.Topic == "" }

// String writes the offset as ParseOffset reads it; none is the empty text.
func (o Offset) String() string {
	if o.IsZero() {
		return ""
	}
	return o.Topic + ":" + strconv.FormatInt(o.Value, 10)
}

// Validate reports an offset that String would write in a way ParseOffset refuses.
func (o Offset) Validate() error {
	if err := validTopic(o.Topic); err != nil {
		return err
	}
	if o.Value < 0 {
		return fmt.Errorf("offset value %d is negative: offsets start at 0", o.Value)
	}
	return nil
}

// ParseOffset reads "<topic>:<value>", the only way String writes one. The empty text is an error: no offset is no field.
func ParseOffset(text string) (Offset, error) {
	topic, digits, found := strings.Cut(text, ":")
	if !found {
		return Offset{}, fmt.Errorf("offset %s has no colon: send an offset as a frame gave it, <topic>:<number>", quoteShort(text))
	}
	if err := validTopic(topic); err != nil {
		return Offset{}, err
	}
	value, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || value < 0 || strconv.FormatInt(value, 10) != digits {
		return Offset{}, fmt.Errorf("offset number %s is not a plain number from 0 to 9223372036854775807: send an offset as a frame gave it",
			quoteShort(digits))
	}
	return Offset{Topic: topic, Value: value}, nil
}

func validTopic(topic string) error {
	if topic == "" || len(topic) > maxTopicBytes {
		return fmt.Errorf("offset topic %s has %d bytes: want 1 to %d", quoteShort(topic), len(topic), maxTopicBytes)
	}
	for i := range len(topic) {
		if !isTopicByte(topic[i]) {
			return fmt.Errorf("offset topic %s has byte %d outside A-Z a-z 0-9 _ -: send an offset as a frame gave it", quoteShort(topic), i)
		}
	}
	return nil
}

func isTopicByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
