package recording

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"
)

// flushAfter bounds what is lost with a recorder that is killed: so much of recorded time. Flushing each frame would double
// the file.
const flushAfter = 10 * time.Second

// Writer writes one recording. It holds no more than the frame at hand. It is for one goroutine.
type Writer struct {
	header  Header
	gzip    *gzip.Writer
	counted *counter
	frames  int
	flushed time.Time
}

// NewWriter begins a recording. The caller closes w itself, after Close.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	line, err := h.encode()
	if err != nil {
		return nil, fmt.Errorf("header of a recording: %w", err)
	}
	counted := &counter{w: w}
	out := &Writer{header: h, gzip: gzip.NewWriter(counted), counted: counted, flushed: h.Began}
	if err := out.line(line); err != nil {
		return nil, err
	}
	return out, out.flush(h.Began)
}

// Write adds a frame. One that no balancer can have seen is an error, and is left out: the file stays sound.
func (w *Writer) Write(f Frame) error {
	line, err := f.encode(w.header)
	if err != nil {
		return fmt.Errorf("frame of a recording: %w", err)
	}
	return w.write(f, line)
}

// write adds a frame that is encoded already.
func (w *Writer) write(f Frame, line []byte) error {
	if err := w.line(line); err != nil {
		return err
	}
	w.frames++
	if passed := f.Model.Now.Sub(w.flushed); passed < 0 || passed >= flushAfter {
		return w.flush(f.Model.Now)
	}
	return nil
}

// Frames is how many were written, and Bytes how long the file is up to the last flush.
func (w *Writer) Frames() int { return w.frames }

// Bytes is how many have reached the file.
func (w *Writer) Bytes() int64 { return w.counted.n }

// Close completes the file.
func (w *Writer) Close() error {
	if err := w.gzip.Close(); err != nil {
		return fmt.Errorf("complete the recording: %w", err)
	}
	return nil
}

func (w *Writer) line(body []byte) error {
	_, err := w.gzip.Write(body)
	_, err2 := w.gzip.Write([]byte{'\n'})
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("write the recording: %w", err)
	}
	return nil
}

func (w *Writer) flush(now time.Time) error {
	w.flushed = now
	if err := w.gzip.Flush(); err != nil {
		return fmt.Errorf("write the recording: %w", err)
	}
	return nil
}

// counter counts what goes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
