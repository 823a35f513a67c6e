package policy

import (
	"reflect"
	"strings"
	"time"
)

// setting is one field of a policy with the tags that describe it.
type setting struct {
	name    string
	trigger bool
	tag     reflect.StructTag
	value   reflect.Value
}

// triggerOnly is the one setting that a policy file must not hold: the file is for all fleets.
const triggerOnly = "fleet"

var durationType = reflect.TypeFor[time.Duration]()

// settings lists the fields of a policy in the order of the struct; setting one changes the policy.
func settings(p *Policy) []setting { return collect(reflect.ValueOf(p).Elem(), nil) }

func collect(v reflect.Value, into []setting) []setting {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if field.Type.Kind() == reflect.Struct {
			into = collect(value, into)
			continue
		}
		into = append(into, setting{
			name:    field.Tag.Get("name"),
			trigger: field.Tag.Get("trigger") != "",
			tag:     field.Tag,
			value:   value,
		})
	}
	return into
}

// find returns the setting of this name among those that the caller may set.
func find(all []setting, name string, allowed func(setting) bool) (setting, bool) {
	for _, s := range all {
		if s.name == name && allowed(s) {
			return s, true
		}
	}
	return setting{}, false
}

func names(all []setting, allowed func(setting) bool) []string {
	out := make([]string, 0, len(all))
	for _, s := range all {
		if allowed(s) {
			out = append(out, s.name)
		}
	}
	return out
}

func inTrigger(s setting) bool { return s.trigger }

func inFile(s setting) bool { return s.name != triggerOnly }

// bounds says in words what the setting accepts.
func (s setting) bounds() string {
	if words := s.tag.Get("oneof"); words != "" {
		return strings.ReplaceAll(words, ",", " or ")
	}
	if s.value.Kind() == reflect.Bool {
		return "true or false"
	}
	lo, hi := s.tag.Get("min"), s.tag.Get("max")
	if hi == "" {
		return "a Kubernetes name, lower-case"
	}
	text := lo + " to " + hi
	if zero := s.tag.Get("zero"); zero != "" {
		text = "0 (" + zero + ") or " + text
	}
	return text
}

// Setting describes one field of the policy for a reference page or a help text.
type Setting struct {
	// Name is the key in trigger metadata or in the policy file.
	Name string
	// Default is the value as either would write it; empty when there is none.
	Default string
	// Unit is in words; empty for durations and words, whose values carry it.
	Unit string
	// Accepts is the range or the choice.
	Accepts string
	// Help says what the setting does.
	Help string
	// Trigger says that a trigger's metadata may set it; the others belong to the policy file.
	Trigger bool
}

// Reference lists every setting in the order of the struct, with the values of the default policy.
func Reference() []Setting {
	p := Default()
	all := settings(&p)
	out := make([]Setting, 0, len(all))
	for _, s := range all {
		out = append(out, Setting{
			Name: s.name, Default: s.text(), Unit: s.tag.Get("unit"), Accepts: s.bounds(),
			Help: s.tag.Get("help"), Trigger: s.trigger,
		})
	}
	return out
}
