// Package uplot carries the chart library, once for the status page and for the backtest's report.
package uplot

import (
	"embed"
	"io/fs"
)

// The files of the library.
const (
	// Script defines window.uPlot.
	Script = "uPlot.iife.min.js"
	// Style is its style sheet.
	Style = "uPlot.min.css"
)

//go:embed dist
var embedded embed.FS

// Files holds the library as it was published, its licence among them.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "dist")
	if err != nil {
		// fs.Sub refuses names that are not valid, and this one is.
		return embedded
	}
	return files
}

// Read returns one of the files.
func Read(name string) ([]byte, error) { return fs.ReadFile(Files(), name) }
