package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const (
	// chunk is how much is read at a time, in bytes.
	chunk = 1 << 20
	// maxLine is the longest line that can be an event, in bytes; a longer one is damage, and passed over.
	maxLine = 1 << 20
)

// Reader follows a journal. It keeps no file open, so there is nothing to close, and its memory does not grow with the
// file.
type Reader struct {
	path    string
	offset  int64  // of the next byte to read
	partial []byte // the start of a line whose end is not there yet
	skip    bool   // passing over the rest of a line that is too long
	end     int64  // where it ends; 0: with the file
}

// Open returns a reader of the whole journal. The file need not exist yet.
func Open(path string) *Reader { return &Reader{path: path} }

// OpenAtLastBatch returns a reader that begins with the last batch_start of the journal; without one, at the beginning.
func OpenAtLastBatch(path string) (*Reader, error) {
	at, _, _, err := lastBatch(path)
	return &Reader{path: path, offset: max(at, 0)}, err
}

// OpenAtRunningBatch is OpenAtLastBatch if that batch may still be running: it has not said that it ended, and its
// process is there or is on another host. Else the reader begins at the end, to see the next batch.
func OpenAtRunningBatch(path string) (*Reader, error) {
	at, start, ended, err := lastBatch(path)
	if err != nil {
		return &Reader{path: path}, err
	}
	if at >= 0 && !ended && mayRun(start) {
		return &Reader{path: path, offset: at}, nil
	}
	return OpenAtEnd(path), nil
}

// OpenAtEnd returns a reader of what is still to be written.
func OpenAtEnd(path string) *Reader {
	r := &Reader{path: path}
	if info, err := os.Stat(path); err == nil {
		r.offset = info.Size()
	}
	return r
}

func mayRun(start Event) bool {
	if host, err := os.Hostname(); err != nil || host != start.Host || start.PID <= 0 {
		return true
	}
	return syscall.Kill(start.PID, 0) != syscall.ESRCH
}

// Next returns the events of the complete lines that came since the last call, at most about a megabyte of them: call it
// again until there are none. What is no event is passed over, and an absent file has no events. If the file has become
// shorter, it is another one, and is read from its beginning.
func (r *Reader) Next() ([]Event, error) {
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the journal cannot be read: %w", r.path, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: the journal cannot be read: %w", r.path, cause(err))
	}
	if info.Size() < r.offset {
		*r = Reader{path: r.path}
	}
	end := info.Size()
	if r.end > 0 {
		end = min(end, r.end)
	}
	buf := make([]byte, max(min(chunk, end-r.offset), 0))
	for r.offset < end {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-r.offset)], r.offset)
		r.offset += int64(n)
		events := r.take(buf[:n])
		if err != nil && err != io.EOF {
			return events, fmt.Errorf("%s: the journal cannot be read: %w", r.path, cause(err))
		}
		if len(events) > 0 || err == io.EOF {
			return events, nil
		}
	}
	return nil, nil
}

// take turns the next bytes of the file into events.
func (r *Reader) take(data []byte) (events []Event) {
	for {
		line, rest, complete := bytes.Cut(data, []byte{'\n'})
		if !r.skip && len(r.partial)+len(line) <= maxLine {
			r.partial = append(r.partial, line...)
		} else {
			r.partial, r.skip = nil, true
		}
		if !complete {
			return events
		}
		if !r.skip {
			if e, ok := decode(r.partial); ok {
				events = append(events, e)
			}
		}
		r.partial, r.skip = r.partial[:0], false
		data = rest
	}
}

// lastBatch finds the last batch_start, reading backwards: its offset or -1, the event, and whether a batch_end follows
// it.
func lastBatch(path string) (at int64, start Event, ended bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, start, false, nil
	}
	if err != nil {
		return -1, start, false, fmt.Errorf("%s: the journal cannot be read: %w", path, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return -1, start, false, fmt.Errorf("%s: the journal cannot be read: %w", path, cause(err))
	}
	end := info.Size()
	var carry []byte // the end of a line whose start is in the part before
	for end > 0 {
		from := max(0, end-chunk)
		buf := make([]byte, end-from, end-from+int64(len(carry)))
		if _, err := f.ReadAt(buf, from); err != nil && err != io.EOF {
			return -1, start, false, fmt.Errorf("%s: the journal cannot be read: %w", path, cause(err))
		}
		buf = append(buf, carry...)
		for {
			i := bytes.LastIndexByte(buf, '\n')
			if i < 0 && from > 0 {
				break
			}
			switch e, ok := decodeBatch(buf[i+1:]); {
			case ok && e.Event == BatchStart:
				return from + int64(i+1), e, ended, nil
			case ok && e.Event == BatchEnd:
				ended = true
			}
			if i < 0 {
				return -1, start, false, nil
			}
			buf = buf[:i]
		}
		if carry = buf; len(carry) > maxLine {
			carry = nil // damage; what is left of the line can't be an event either
		}
		end = from
	}
	return -1, start, false, nil
}

// decodeBatch decodes a line that may start or end a batch; the others cost next to nothing.
func decodeBatch(line []byte) (Event, bool) {
	if !bytes.Contains(line, []byte(`"batch_`)) {
		return Event{}, false
	}
	return decode(line)
}

// Past returns what is to be learnt from the last maxBytes before the next event: of a new reader, of the batches before.
func (r *Reader) Past(maxBytes int64) *Forecast {
	past := &Reader{path: r.path, end: r.offset}
	if r.offset > maxBytes {
		// The first line is likely a piece of one; the byte before tells if it is not.
		past.offset, past.skip = r.offset-maxBytes-1, true
	}
	f := NewForecast()
	for r.offset > 0 {
		events, err := past.Next()
		for _, e := range events {
			f.Add(e)
		}
		if err != nil || len(events) == 0 {
			break
		}
	}
	return f
}

// Ended reports whether the last batch of a journal said that it ended, as all do unless they are killed. An absent or
// empty journal has no batch that didn't.
func Ended(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err == nil
	}
	tail := make([]byte, min(size, 64<<10))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil || tail[len(tail)-1] != '\n' {
		return false
	}
	tail = tail[:len(tail)-1]
	var e Event
	return json.Unmarshal(tail[bytes.LastIndexByte(tail, '\n')+1:], &e) == nil && e.Event == BatchEnd
}
