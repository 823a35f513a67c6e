package protocol

import (
	"fmt"
	"unicode/utf8"
)

// maxShownBytes is how much of a wrong value an error message repeats.
const maxShownBytes = 48

// BadFrame is a frame that was refused, in the words that go back to the client. It never repeats a token.
//
//nolint:errname // The protocol's users know it by the name of what arrived; "BadFrameError" would read as a frame kind.
type BadFrame struct {
	// Code is CodeBadFrame or CodeTooBig.
	Code string
	// Field names the wrong field; empty when the frame as a whole is wrong.
	Field string
	// Msg says what is wrong and how to write it.
	Msg string
	// ID is the id of the refused message, when that much could be read: it tells the sender which one it was.
	ID string
}

// Error names the field and what to do.
func (b *BadFrame) Error() string {
	if b.Field == "" {
		return "frame " + b.Msg
	}
	return "field " + quoteShort(b.Field) + " " + b.Msg
}

// Frame is the error frame that tells the client.
func (b *BadFrame) Frame() Error {
	return Error{Code: b.Code, Message: b.Error(), ID: b.ID}
}

// CloseCode is the code to close with when the connection is not to go on.
func (b *BadFrame) CloseCode() uint16 {
	if b.Code == CodeTooBig {
		return CloseTooBig
	}
	return CloseProtocol
}

func badFrame(format string, args ...any) *BadFrame {
	return &BadFrame{Code: CodeBadFrame, Msg: fmt.Sprintf(format, args...)}
}

func badField(field, format string, args ...any) *BadFrame {
	return &BadFrame{Code: CodeBadFrame, Field: field, Msg: fmt.Sprintf(format, args...)}
}

func tooBig(field, format string, args ...any) *BadFrame {
	return &BadFrame{Code: CodeTooBig, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// quoteShort quotes a value for a message, cut so that a message stays a line.
func quoteShort(value string) string {
	if len(value) <= maxShownBytes {
		return fmt.Sprintf("%q", value)
	}
	cut := maxShownBytes
	for cut > 0 && !utf8.RuneStart(value[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", value[:cut])
}
