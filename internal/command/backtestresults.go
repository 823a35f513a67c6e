package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// results are the files that a backtest was asked for; nil ones it was not.
type results struct{ csv, html *resultFile }

// resultFile is opened before the runs, so that a name which cannot be written is told at once, and filled after them: what was
// there stays until then.
type resultFile struct {
	flag string
	file *os.File
	// fresh says that there was no such file.
	fresh bool
}

func openResults(csv, html string) (results, error) {
	if csv != "" && filepath.Clean(csv) == filepath.Clean(html) {
		return results{}, fmt.Errorf("--csv and --html are both %s: give each its own file", csv)
	}
	var r results
	var err, err2 error
	r.csv, err = openResult("--csv", csv)
	r.html, err2 = openResult("--html", html)
	if err = errors.Join(err, err2); err != nil {
		r.drop()
	}
	return r, err
}

func openResult(flag, path string) (*resultFile, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file was asked for, and a nil one does nothing
	}
	const write, mode = os.O_WRONLY, 0o644
	fresh := true
	file, err := os.OpenFile(path, write|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the user names the file
	if errors.Is(err, os.ErrExist) {
		fresh = false
		file, err = os.OpenFile(path, write, mode) //nolint:gosec // the user names the file
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return &resultFile{flag: flag, file: file, fresh: fresh}, nil
}

// write fills the file, when one was asked for.
func (f *resultFile) write(fill func(io.Writer) error) error {
	if f == nil {
		return nil
	}
	f.fresh = false
	var err error
	if info, statErr := f.file.Stat(); statErr == nil && info.Mode().IsRegular() {
		err = f.file.Truncate(0)
	}
	if err = errors.Join(err, fill(f.file), f.file.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.flag, err)
	}
	f.file = nil
	return nil
}

// drop closes what was never filled, and leaves no empty file behind.
func (r results) drop() {
	for _, f := range []*resultFile{r.csv, r.html} {
		if f == nil || f.file == nil {
			continue
		}
		_ = f.file.Close() // nothing was written
		if f.fresh {
			_ = os.Remove(f.file.Name())
		}
	}
}
