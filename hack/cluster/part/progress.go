package part

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// tellEvery is how often a build says that it is alive. Kubernetes takes 20 minutes on two busy cores.
const tellEvery = 15 * time.Second

// lastLines is how much of a failed build's output its error carries.
const lastLines = 25

// follow runs a build and tells how far it is.
func follow(cmd *exec.Cmd, name string, out io.Writer) error {
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	var compiled atomic.Int64
	tail := make(chan []string, 1)
	go func() { tail <- drain(reader, &compiled) }()
	began := time.Now()
	fmt.Fprintf(out, "  %-11s building\n", name) //nolint:errcheck // progress is a courtesy
	stop := make(chan struct{})
	go tell(stop, began, name, &compiled, out)

	err := cmd.Run()
	close(stop)
	writer.Close() //nolint:errcheck,gosec // a pipe in memory
	last := <-tail
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(last, "\n"))
	}
	fmt.Fprintf(out, "  %-11s built in %s\n", name, time.Since(began).Round(time.Second)) //nolint:errcheck // progress is a courtesy
	return nil
}

// drain counts the lines, one a package, and keeps the last ones for the case that the build fails.
func drain(from io.Reader, lines *atomic.Int64) []string {
	var last []string
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		lines.Add(1)
		last = append(last, scanner.Text())
		if len(last) > lastLines {
			last = last[1:]
		}
	}
	// A line too long to read must not block the build.
	io.Copy(io.Discard, from) //nolint:errcheck,gosec // what is left is not needed
	return last
}

func tell(stop <-chan struct{}, began time.Time, name string, compiled *atomic.Int64, out io.Writer) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			fmt.Fprintf(out, "  %-11s building for %s, %d packages done\n", name, time.Since(began).Round(time.Second), compiled.Load()) //nolint:errcheck // progress is a courtesy
		}
	}
}
