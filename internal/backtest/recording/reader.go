package recording

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"
)

// Reader reads one recording, a frame at a time. It is for one goroutine.
type Reader struct {
	header Header
	in     *bufio.Reader
	buf    []byte
	frames int
	until  time.Time
	// failed is told again once the reader has come to an end of any kind.
	failed error
}

// Open reads the header. An error says why this is no recording that can be read.
func Open(r io.Reader) (*Reader, error) {
	unzipped, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("this is no recording: it is not gzip (%w)", err)
	}
	out := &Reader{in: bufio.NewReaderSize(unzipped, 64<<10)}
	line, err := out.line()
	if err != nil {
		return nil, fmt.Errorf("this is no recording: its header cannot be read (%w)", err)
	}
	if out.header, err = decodeHeader(line); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return out, nil
}

// Header is what the recording says of itself.
func (r *Reader) Header() Header { return r.header }

// Next is the next frame. At the end of a complete file it is io.EOF; of one that ends early, or is damaged from here on, an
// *IncompleteError. Any other error names a line that no recorder wrote.
func (r *Reader) Next() (Frame, error) {
	if r.failed != nil {
		return Frame{}, r.failed
	}
	f, err := r.next()
	if err != nil {
		r.failed = err
		return Frame{}, err
	}
	r.frames++
	r.until = f.Model.Now
	return f, nil
}

func (r *Reader) next() (Frame, error) {
	line, err := r.line()
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		return Frame{}, io.EOF
	case errors.Is(err, errTooLong):
		return Frame{}, fmt.Errorf("recording, line %d: %w", r.frames+2, err)
	default:
		return Frame{}, &IncompleteError{Frames: r.frames, Until: r.until, Err: err}
	}
	f, err := decodeFrame(line, r.header)
	if err != nil {
		return Frame{}, fmt.Errorf("recording, line %d: %w", r.frames+2, err)
	}
	return f, nil
}

// line reads one whole line, whose bytes are good until the next call. A part of a line at the end is an io.ErrUnexpectedEOF.
func (r *Reader) line() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		switch {
		case len(r.buf) > maxLine:
			return nil, errTooLong
		case err == nil:
			return r.buf[:len(r.buf)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(r.buf) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
