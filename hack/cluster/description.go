package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tidegate/tidegate/hack/cluster/component"
	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

// summary is run/cluster.json: what tests and people need to use the cluster.
type summary struct {
	Kubeconfig string            `json:"kubeconfig"`
	Run        string            `json:"run"`
	Redis      string            `json:"redis"`
	RedisData  string            `json:"redisData"`
	Kafka      string            `json:"kafka"`
	Netns      string            `json:"netns"`
	Node       string            `json:"node"`
	Profile    component.Profile `json:"profile"`
	Logs       string            `json:"logs"`
	AuditLog   string            `json:"auditLog"`
	DNS        string            `json:"dns"`
	// Ready is set when a start went through.
	Ready bool `json:"ready"`
	// PIDs are the processes by component.
	PIDs map[string]int `json:"pids"`
	// Folders are the built parts that the cluster was started with.
	Folders map[string]string `json:"folders"`
}

// read returns what the last start wrote; found is false when there is no cluster.
func read(at place.Place) (s summary, found bool, err error) {
	text, err := os.ReadFile(at.Description())
	if errors.Is(err, fs.ErrNotExist) {
		return summary{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return summary{}, false, fmt.Errorf("read the cluster's description: %w", err)
	}
	return s, true, nil
}

// running returns the setup of the cluster that was started.
func running(at place.Place) (component.Setup, error) {
	s, found, err := read(at)
	if err == nil && !found {
		err = errors.New("the cluster is not up: run `make cluster-up`")
	}
	return component.Setup{Place: at, Profile: s.Profile, Folders: s.Folders}, err
}

// describe writes the description from what runs now.
func describe(s component.Setup, ready bool) error {
	all := summary{
		Kubeconfig: s.Place.Kubeconfig(), Run: s.Place.Run(), Redis: network.Node + ":6379", RedisData: s.Place.Run("redis"), Kafka: network.Node + ":9092",
		Netns: network.Namespace, Node: network.Node, DNS: network.Node + ":53", Profile: s.Profile, Logs: s.Place.Run("log"), AuditLog: s.Place.Log("audit"),
		Ready: ready, PIDs: make(map[string]int), Folders: s.Folders,
	}
	records, err := component.Book(s.Place).All()
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.State() != process.Gone {
			all.PIDs[r.Name] = r.PID
		}
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		// Renamed into place: a test may be reading it.
		file := s.Place.Description()
		err = errors.Join(os.WriteFile(file+".new", append(text, '\n'), 0o600), os.Rename(file+".new", file))
	}
	if err != nil {
		return fmt.Errorf("write the cluster's description: %w", err)
	}
	return nil
}
