package record

import (
	"encoding/binary"
	"fmt"
)

// Append writes the message after dst. An error names the field that no reader would accept; dst is then unchanged.
func (m Message) Append(dst []byte) ([]byte, error) {
	if len(m.Payload) > MaxPayload {
		return dst, fmt.Errorf("message payload has %d bytes: at most %d are allowed", len(m.Payload), MaxPayload)
	}
	if err := checkNames("message", field{"from", m.From}, field{"id", m.ID}, field{"to", m.To}); err != nil {
		return dst, err
	}
	dst = append(dst, Version, byte(KindMessage))
	dst = appendText(dst, m.From)
	dst = appendText(dst, m.ID)
	dst = appendText(dst, m.To)
	return append(dst, m.Payload...), nil
}

// Append writes the session after dst. An error names the field that no reader would accept; dst is then unchanged.
func (s Session) Append(dst []byte) ([]byte, error) {
	err := checkNames("session", field{"client", s.Client}, field{"session", s.Session}, field{"node", string(s.Node)})
	if err != nil {
		return dst, err
	}
	dst = append(dst, Version, byte(KindSession))
	dst = appendText(dst, s.Client)
	dst = appendText(dst, s.Session)
	dst = appendText(dst, string(s.Node))
	return binary.AppendUvarint(dst, s.Epoch), nil
}

// Append writes the marker after dst. An error names the field that no reader would accept; dst is then unchanged.
func (m Marker) Append(dst []byte) ([]byte, error) {
	if err := checkNames("marker", field{"node", string(m.Node)}, field{"nonce", m.Nonce}); err != nil {
		return dst, err
	}
	dst = append(dst, Version, byte(KindMarker))
	dst = appendText(dst, string(m.Node))
	return appendText(dst, m.Nonce), nil
}

type field struct{ name, value string }

func checkNames(kind string, fields ...field) error {
	for _, f := range fields {
		if f.value == "" || len(f.value) > MaxName {
			return fmt.Errorf("%s %s has %d bytes: want 1 to %d", kind, f.name, len(f.value), MaxName)
		}
	}
	return nil
}

func appendText(dst []byte, text string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}
