package journal

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"syscall"
)

const (
	chunk   = 1 << 20  // bytes that are read at a time; a line that is no shorter is damage
	maxTail = 64 << 20 // bytes from the end in which Last looks for open targets
)

// Reader follows a journal. It keeps no file open, and its memory does not grow with the file.
type Reader struct {
	path   string
	offset int64 // of the next line
	end    int64 // where to stop; 0: the end of the file
}

// Open returns a reader of the whole journal. The file need not exist yet.
func Open(path string) *Reader { return &Reader{path: path} }

// OpenAtEnd returns a reader of the events that are still to be written.
func OpenAtEnd(path string) *Reader {
	r := Open(path)
	if info, err := os.Stat(path); err == nil {
		r.offset = info.Size()
	}
	return r
}

// OpenAtRunningBatch returns a reader that begins with the batch_start of the running batch. A
// batch runs if it wrote no batch_end, and its process exists or is on another host. If no batch
// runs, the reader begins at the end.
func OpenAtRunningBatch(path string) (*Reader, error) {
	r := OpenAtEnd(path)
	host, _ := os.Hostname()
	err := backwards(path, func(at int64, line []byte) bool {
		e := decode(line)
		gone := e.Host == host && e.PID > 0 && syscall.Kill(e.PID, 0) == syscall.ESRCH
		if e.Event == BatchStart && !gone {
			r.offset = at
		}
		return e.Event != BatchStart && e.Event != BatchEnd
	})
	return r, err
}

// Next returns the events of the complete lines that came since the last call, of at most a
// megabyte: call it until there are none. An absent file has no events. A file that became shorter
// is another one, and is read from its beginning.
func (r *Reader) Next() (events []Event, err error) {
	for len(events) == 0 {
		buf, size, err := read(r.path, r.offset)
		if err != nil {
			return nil, err
		}
		if size < r.offset {
			*r = Reader{path: r.path}
			continue
		}
		if r.end > 0 {
			buf = buf[:min(int64(len(buf)), r.end-r.offset)]
		}
		complete := bytes.LastIndexByte(buf, '\n') + 1
		if complete == 0 && len(buf) == chunk {
			complete = chunk // damage
		}
		if complete == 0 {
			break
		}
		r.offset += int64(complete)
		for line := range bytes.Lines(buf[:complete]) {
			if e := decode(line); e.Event != "" {
				events = append(events, e)
			}
		}
	}
	return events, nil
}

// Each gives all events of the complete lines that came since the last call.
func (r *Reader) Each(see func(Event)) error {
	for {
		events, err := r.Next()
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			see(e)
		}
	}
}

// read reads a chunk of a file, and the size of the whole. An absent file is empty.
func read(path string, offset int64) (buf []byte, size int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	var n int
	if err == nil {
		defer f.Close()
		size, err = f.Seek(0, io.SeekEnd)
		buf = make([]byte, max(min(chunk, size-offset), 0))
	}
	if err == nil {
		n, err = f.ReadAt(buf, offset)
	}
	if err != nil && err != io.EOF {
		return nil, 0, wrap(err, path, "the journal cannot be read")
	}
	return buf[:n], size, nil
}

// LastBatch is what the scheduler asks of the last batch when it starts.
type LastBatch struct {
	ID          string            // "" if the journal has no batch
	Ended       bool              // it wrote batch_end, or there is none; else its process died
	Interrupted bool              // it had a signal: its open targets are no deaths
	Open        map[string]string // targets without an end, as "pm7/2", by mol_id; none if it ended
}

// Last says how the last batch ended. A target that started more than 64 MB before the end of the
// journal is not found.
func Last(path string) (LastBatch, error) {
	r, last := OpenAtEnd(path), LastBatch{Ended: true, Open: map[string]string{}}
	begin := r.offset - maxTail
	err := backwards(path, func(at int64, line []byte) bool {
		e := decode(line)
		r.offset, last.ID = at, cmp.Or(last.ID, e.Batch)
		last.Ended = last.ID == "" || e.Event == BatchEnd
		return at > begin && e.Event != BatchStart && (!last.Ended || last.ID == "")
	})
	if err != nil || last.Ended {
		return last, err
	}
	var s State
	s.Add(Event{Event: BatchStart, Batch: last.ID})
	err = r.Each(s.Add)
	last.Interrupted = s.Interrupted
	for _, m := range s.UnderWay {
		for _, instance := range slices.Sorted(maps.Keys(m.Running)) {
			last.Open[m.ID] = m.Stage
			if instance > 0 {
				last.Open[m.ID] += "/" + strconv.Itoa(instance)
			}
		}
	}
	return last, err
}

// Settings are the values of the pipeline's variables in the last batch; nil if they are not known.
func Settings(path string) (settings map[string]string) {
	_ = backwards(path, func(_ int64, line []byte) bool {
		e := decode(line)
		settings = e.Settings
		return e.Event != BatchStart
	})
	return settings
}

// backwards gives the complete lines of a file and their offsets, the last line first, until see
// returns false. An absent file has no lines.
func backwards(path string, see func(at int64, line []byte) bool) error {
	step := int64(32 << 10) // the end of a batch needs no more
	for end := OpenAtEnd(path).offset; end > 0; step = chunk {
		from := max(0, end-step)
		buf, _, err := read(path, from)
		if err != nil {
			return err
		}
		buf = buf[:min(int64(len(buf)), end-from)]
		rest := buf[:bytes.LastIndexByte(buf, '\n')+1]
		for len(rest) > 0 {
			start := bytes.LastIndexByte(rest[:len(rest)-1], '\n') + 1
			if start == 0 && from > 0 {
				break // the line starts in the part before
			}
			if !see(from+int64(start), rest[start:]) {
				return nil
			}
			rest = rest[:start]
		}
		if len(rest) == len(buf) && step == chunk {
			rest = nil // a line of a whole chunk is damage
		}
		end = from + int64(len(rest))
	}
	return nil
}
