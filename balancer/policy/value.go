package policy

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

// set reads a value as metadata writes it and checks its range; on an error the field keeps what it had.
func (s setting) set(text string) error {
	if text == "" {
		return s.wrong(text, "is empty", "remove the key or write "+s.bounds())
	}
	before := reflect.New(s.value.Type()).Elem()
	before.Set(s.value)
	err := s.read(text)
	if err == nil {
		err = s.check(text)
	}
	if err != nil {
		s.value.Set(before)
	}
	return err
}

func (s setting) read(text string) error {
	switch {
	case s.value.Type() == durationType:
		return s.readDuration(text)
	case s.value.Kind() == reflect.Int:
		return s.readWhole(text)
	case s.value.Kind() == reflect.Float64:
		return s.readNumber(text)
	case s.value.Kind() == reflect.Bool:
		return s.readSwitch(text)
	default:
		s.value.SetString(text)
		return nil
	}
}

func (s setting) readDuration(text string) error {
	d, err := time.ParseDuration(text)
	if err == nil {
		s.value.SetInt(int64(d))
		return nil
	}
	if n, numErr := strconv.ParseFloat(text, 64); numErr == nil && n > 0 && !math.IsInf(n, 0) {
		return s.wrong(text, "has no unit", fmt.Sprintf("write %ss if you mean seconds", text))
	}
	return s.wrong(text, "is not a duration", fmt.Sprintf("write a number with its unit, such as %q", s.fallback()))
}

func (s setting) readWhole(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return s.wrong(text, "is not a whole number", "write "+s.bounds())
	}
	s.value.SetInt(int64(n))
	return nil
}

func (s setting) readSwitch(text string) error {
	// strconv.ParseBool would also take 1, T and TRUE, which a policy file's JSON does not know.
	if text != "true" && text != "false" {
		return s.wrong(text, "is neither on nor off", "write "+s.bounds())
	}
	s.value.SetBool(text == "true")
	return nil
}

func (s setting) readNumber(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
		s.value.SetFloat(n)
		return nil
	}
	if fraction, ok := fromPercent(text); ok && s.tag.Get("unit") == "fraction" {
		return s.wrong(text, "is a percentage", "write the fraction "+fraction)
	}
	return s.wrong(text, "is not a finite number", "write "+s.bounds())
}

// fromPercent writes "70%" as the fraction "0.7".
func fromPercent(text string) (string, bool) {
	number, found := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !found || err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return "", false
	}
	return strconv.FormatFloat(n/100, 'g', 6, 64), true
}

// check reports a value outside its range; text is the value as it was written.
func (s setting) check(text string) error {
	switch {
	case s.value.Kind() == reflect.Bool:
		return nil
	case s.value.Kind() == reflect.String:
		return s.checkWord(text)
	case s.tag.Get("zero") != "" && s.value.IsZero():
		return nil
	}
	value, lo, hi := s.numeric()
	// Written so that NaN fails.
	if value >= lo && value <= hi {
		return nil
	}
	fix := "write " + s.bounds()
	if s.tag.Get("unit") == "fraction" && value > 1 && value <= 100 {
		fix = "write the fraction " + strconv.FormatFloat(value/100, 'g', 6, 64) + " if you mean percent"
	}
	return s.wrong(text, "is outside "+s.bounds(), fix)
}

func (s setting) numeric() (value, lo, hi float64) {
	if s.value.Type() == durationType {
		return float64(s.value.Int()), duration(s.tag.Get("min")), duration(s.tag.Get("max"))
	}
	if s.value.Kind() == reflect.Int {
		return float64(s.value.Int()), number(s.tag.Get("min")), number(s.tag.Get("max"))
	}
	return s.value.Float(), number(s.tag.Get("min")), number(s.tag.Get("max"))
}

// number and duration read a bound from a tag; an unreadable one accepts nothing, and a test reads them all.
func number(tag string) float64 {
	n, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

func duration(tag string) float64 {
	d, err := time.ParseDuration(tag)
	if err != nil {
		return math.NaN()
	}
	return float64(d)
}

func (s setting) checkWord(text string) error {
	if words := s.tag.Get("oneof"); words != "" {
		if !slices.Contains(strings.Split(words, ","), s.value.String()) {
			return s.wrong(text, "is unknown", "write "+s.bounds())
		}
		return nil
	}
	if text == "" {
		return nil
	}
	// Only the name is known here; any valid namespace serves to check it.
	if err := (fleet.ID{Namespace: "default", Name: s.value.String()}).Validate(); err != nil {
		return s.wrong(text, "is no name of a Deployment ("+err.Error()+")", "write the Deployment's name, or remove the key if it is the ScaledObject's")
	}
	return nil
}

// text writes the value as set reads it.
func (s setting) text() string {
	switch {
	case s.value.Type() == durationType:
		return time.Duration(s.value.Int()).String()
	case s.value.Kind() == reflect.Int:
		return strconv.FormatInt(s.value.Int(), 10)
	case s.value.Kind() == reflect.Float64:
		return strconv.FormatFloat(s.value.Float(), 'g', -1, 64)
	case s.value.Kind() == reflect.Bool:
		return strconv.FormatBool(s.value.Bool())
	default:
		return s.value.String()
	}
}

// fallback is the default value of this setting, as an example to copy.
func (s setting) fallback() string {
	p := Default()
	if found, ok := find(settings(&p), s.name, func(setting) bool { return true }); ok {
		return found.text()
	}
	return ""
}

func (s setting) wrong(value, problem, fix string) error {
	return &FieldError{Field: s.name, Value: value, Problem: problem, Fix: fix}
}
