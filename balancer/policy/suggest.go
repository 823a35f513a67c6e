package policy

import "strings"

// farthest is how many letters a suggestion may differ from what was written.
const farthest = 4

// unknown is the error for a key that nobody reads; it suggests the nearest known one.
func unknown(key, text string, known []string) error {
	fix := "known keys are " + strings.Join(known, ", ")
	if near := nearest(key, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	return &FieldError{Field: key, Value: text, Problem: "is an unknown key", Fix: fix}
}

// nearest is the known name with the fewest edits from the written one, letter case apart; empty when none is near.
func nearest(written string, known []string) string {
	best, fewest := "", farthest+1
	if len(written) > 64 {
		return best
	}
	for _, name := range known {
		// A short name is not near to everything of its length.
		if d := distance(strings.ToLower(written), strings.ToLower(name)); d < fewest && d <= len(name)/2 {
			best, fewest = name, d
		}
	}
	return best
}

// distance counts the single-letter edits between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
