package kube

import (
	"encoding/json"
	"testing"
)

func TestConditionsAreReadAsKubernetesWritesThem(t *testing.T) {
	var o Object
	const text = `{"metadata":{"name":"node0"},"status":{"phase":"Running","conditions":[
		{"type":"MemoryPressure","status":"False"},
		{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown","message":"kubelet stopped posting"}]}}`
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if o.Is("Ready") || o.Is("MemoryPressure") || o.Is("Nothing") {
		t.Error("unknown, false or missing counts as true")
	}
	if o.Why("Ready") != "NodeStatusUnknown: kubelet stopped posting" || o.Why("Nothing") != "not reported yet" {
		t.Errorf("why %q, %q", o.Why("Ready"), o.Why("Nothing"))
	}
}
