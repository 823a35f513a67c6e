package policy

import (
	"errors"
	"maps"
	"slices"
)

// Assign sets any settings of p by name, the file's and the trigger's alike, each written as metadata writes it: "0.8", "30s".
// It is for a user who tries a policy out. On an error p is returned as it was; the error joins one problem a name.
func (p Policy) Assign(values map[string]string) (Policy, error) {
	next := p
	all := settings(&next)
	every := func(setting) bool { return true }
	var problems []error
	failed := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s, known := find(all, name, every)
		err := unknown(name, values[name], names(all, every))
		if known {
			err = s.set(values[name])
		}
		if err != nil {
			problems = append(problems, err)
			failed[name] = true
		}
	}
	problems = append(problems, crossCheck(next, failed)...)
	if len(problems) > 0 {
		return p, errors.Join(problems...)
	}
	return next, nil
}
