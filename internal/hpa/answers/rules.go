package answers

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/hpa"
)

var selects = map[hpa.Select]string{hpa.SelectMax: "Max", hpa.SelectMin: "Min", hpa.Disabled: "Disabled"}

var units = map[hpa.Unit]string{hpa.Pods: "Pods", hpa.Percent: "Percent"}

// SelectName is selectPolicy in the words of Kubernetes.
func SelectName(s hpa.Select) string { return selects[s] }

// UnitName is the type of a policy in the words of Kubernetes.
func UnitName(u hpa.Unit) string { return units[u] }

// rulesText writes a behaviour in one field: "tolerance=0.1 stabilization=300s select=Max Pods:4/15s Percent:100/15s".
func rulesText(r hpa.Rules) string {
	fields := append(make([]string, 0, 1+len(r.Policies)), fmt.Sprintf("tolerance=%s stabilization=%s select=%s",
		strconv.FormatFloat(r.Tolerance, 'g', -1, 64), r.Stabilization, selects[r.Select]))
	for _, p := range r.Policies {
		fields = append(fields, fmt.Sprintf("%s:%d/%s", units[p.Unit], p.Value, p.Period))
	}
	return strings.Join(fields, " ")
}

func parseRules(text string) (hpa.Rules, error) {
	var r hpa.Rules
	for field := range strings.FieldsSeq(text) {
		if err := setField(&r, field); err != nil {
			return hpa.Rules{}, fmt.Errorf("%q: %w", field, err)
		}
	}
	return r, nil
}

func setField(r *hpa.Rules, field string) (err error) {
	name, value, setting := strings.Cut(field, "=")
	switch {
	case setting && name == "tolerance":
		r.Tolerance, err = strconv.ParseFloat(value, 64)
	case setting && name == "stabilization":
		r.Stabilization, err = time.ParseDuration(value)
	case setting && name == "select":
		r.Select, err = named(selects, value)
	case setting:
		err = fmt.Errorf("%s is unknown: want tolerance, stabilization or select", name)
	default:
		var p hpa.Policy
		if p, err = parsePolicy(field); err == nil {
			r.Policies = append(r.Policies, p)
		}
	}
	return err
}

func parsePolicy(field string) (p hpa.Policy, err error) {
	unit, rest, _ := strings.Cut(field, ":")
	value, period, found := strings.Cut(rest, "/")
	if !found {
		return p, errors.New("want a policy as in Pods:4/15s")
	}
	if p.Unit, err = named(units, unit); err != nil {
		return p, err
	}
	if p.Value, err = strconv.Atoi(value); err != nil {
		return p, err
	}
	p.Period, err = time.ParseDuration(period)
	return p, err
}

func named[T comparable](names map[T]string, word string) (T, error) {
	for value, name := range names {
		if name == word {
			return value, nil
		}
	}
	var none T
	return none, fmt.Errorf("%s is unknown", word)
}
