package protocol

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ValidateClient reports a client id that the protocol refuses: 1 to MaxClientBytes bytes of UTF-8 without control characters.
func ValidateClient(id string) error { return validateName("client id", id, MaxClientBytes) }

// ValidateID reports a message id that the protocol refuses: 1 to MaxIDBytes bytes of UTF-8 without control characters.
func ValidateID(id string) error { return validateName("message id", id, MaxIDBytes) }

func validateName(what, id string, limit int) error {
	if fault := nameFault(id, limit); fault != "" {
		return fmt.Errorf("%s %s %s", what, quoteShort(id), fault)
	}
	return nil
}

// nameFault says what is wrong with an id, or nothing.
func nameFault(id string, limit int) string {
	switch {
	case id == "":
		return fmt.Sprintf("is empty: want 1 to %d bytes", limit)
	case len(id) > limit:
		return fmt.Sprintf("has %d bytes: at most %d are allowed", len(id), limit)
	case !utf8.ValidString(id):
		return "is not UTF-8: encode it as UTF-8"
	}
	for i, r := range id {
		if unicode.IsControl(r) {
			return fmt.Sprintf("has a control character at byte %d: leave it out", i)
		}
	}
	return ""
}
