// Package version tells which build of Tidegate runs.
package version

import "runtime/debug"

// number is set by the linker (make build); a plain `go build` leaves it empty.
var number string

// String is the release, or the commit a plain `go build` was made from, or "dev".
func String() string {
	if number != "" {
		return number
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "dev"
}
