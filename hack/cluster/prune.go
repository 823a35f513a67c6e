package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/hack/cluster/part"
	"github.com/tidegate/tidegate/hack/cluster/remains"
)

// prune removes builds that are neither new nor in use: by this start, by the cluster that was started last, or by a process.
func prune(s *session, folders map[string]string) error {
	used := slices.Collect(maps.Values(folders))
	known, _, _ := read(s.at) // without a description, or with one that makes no sense, the processes tell
	used = slices.AppendSeq(used, maps.Values(known.Folders))
	used = append(used, remains.Programs(s.at)...)
	removed, err := part.Prune(s.at, func(folder string) bool { return slices.Contains(used, folder) })
	if len(removed) > 0 {
		s.say("removed old builds: %s", strings.Join(removed, ", "))
	}
	return err
}
