package policy

import "fmt"

// FieldError says which setting is wrong, what it was, and what to write instead.
type FieldError struct {
	Field   string
	Value   string
	Problem string
	Fix     string
}

// shownBytes bounds how much of a wrong value an error repeats.
const shownBytes = 80

// Error is one line: field, value, problem, fix.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s %.*q %s: %s", e.Field, shownBytes, e.Value, e.Problem, e.Fix)
}
