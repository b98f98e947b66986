// Package journal is the append-only history of batches: one line of JSON per event, in one file. The batch writes it,
// and everything that watches a batch reads it and nothing else.
//
// It is not responsible for what the events mean, and nothing that is computed depends on it: deleting the file loses
// history, not results. A crash may tear the last line, which is expected and passed over.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"grimperium/internal/fault"
)

// The kinds of events.
const (
	BatchStart  = "batch_start"
	Scheduled   = "scheduled" // more molecules than batch_start says have something to do: Total in all
	TargetStart = "target_start"
	TargetEnd   = "target_end"
	Row         = "row"  // a molecule's row of the table is written
	Note        = "note" // something that a reader of the history should know; the text is in Error
	BatchEnd    = "batch_end"
)

// The outcomes of a target. A batch ends as Done, Interrupted or Failed; a row's outcome is its status in the table.
const (
	OK          = "ok"
	Failed      = "failed"
	Timeout     = "timeout"
	Interrupted = "interrupted"
	Restored    = "restored" // an earlier result was taken, nothing was computed
	Done        = "done"
)

// Event is one line. Which fields are set depends on Event.
type Event struct {
	Time  time.Time `json:"time"` // written in UTC, to the millisecond
	Event string    `json:"event"`

	// Of batch_start.
	Batch  string  `json:"batch,omitempty"` // the batch's id
	PID    int     `json:"pid,omitempty"`
	Host   string  `json:"host,omitempty"`
	Table  string  `json:"table,omitempty"`
	Total  int     `json:"total,omitempty"`  // molecules that are scheduled
	Jobs   int     `json:"jobs,omitempty"`   // cores that it may use
	Stages []Stage `json:"stages,omitempty"` // in the order in which they run
	// Sizes are how many of the molecules have which size: [count, size...], of each size once. No size is one that is not known.
	Sizes [][]float64 `json:"sizes,omitempty"`

	// Of target_start, target_end and row.
	Mol       string `json:"mol,omitempty"`
	Stage     string `json:"stage,omitempty"`
	Instance  int    `json:"instance,omitempty"`  // 1, 2, ... of a stage that runs several times; else 0
	Instances int    `json:"instances,omitempty"` // how many there are

	// Of target_start: how large the molecule is, in the pipeline's numbers; none where that is not known.
	Size []float64 `json:"size,omitempty"`

	// Of target_end, row and batch_end.
	Outcome string  `json:"outcome,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // wall time of the target, of the molecule in this batch, of the batch
	Error   string  `json:"error,omitempty"`

	// Of batch_end: how many rows got which status.
	Counts map[string]int `json:"counts,omitempty"`
}

// Stage is a stage as it is shown.
type Stage struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
}

// Writer appends events to a journal. It may be used from many goroutines.
type Writer struct {
	path string
	mu   sync.Mutex
	file *os.File
	torn bool // the last line of the file lacks its end
}

// Create returns a writer to the journal at path. The file is opened, and made if need be, by the first Write: a batch
// that has nothing to say leaves no trace.
func Create(path string) *Writer { return &Writer{path: path} }

// Write appends events, one a line, by one write(2). A zero Time is now.
func (w *Writer) Write(events ...Event) error {
	var lines []byte
	for _, e := range events {
		line, err := encode(e)
		if err != nil {
			return fmt.Errorf("%s: event %s cannot be written: %w", w.path, e.Event, err)
		}
		lines = append(lines, line...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		if err := w.open(); err != nil {
			return fmt.Errorf("%s: the journal cannot be opened: %w", w.path, cause(err))
		}
	}
	if w.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	err := fault.Around("journal.line", func() error {
		_, err := w.file.Write(lines)
		return err
	})
	if w.torn = err != nil; w.torn {
		return fmt.Errorf("%s: the journal cannot be written: %w", w.path, cause(err))
	}
	return nil
}

// open opens the file and sees whether a crash has torn its last line.
func (w *Writer) open() error {
	if err := os.MkdirAll(filepath.Dir(w.path), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o666)
	if errors.Is(err, syscall.ELOOP) {
		return errors.New("it is a symbolic link, which a batch does not follow; remove it")
	}
	if err != nil {
		return err
	}
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 0 {
		last := make([]byte, 1)
		_, err = f.ReadAt(last, end-1)
		w.torn = err == nil && last[0] != '\n'
	}
	w.file = f
	return nil
}

// Close closes the file. A later Write opens it again.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// timeFormat is RFC 3339 with exactly three decimals, so that lines sort and align.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func encode(e Event) ([]byte, error) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	line := struct {
		Time string `json:"time"` // hides the event's own
		Event
	}{e.Time.UTC().Format(timeFormat), e}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // ends the line
	enc.SetEscapeHTML(false)   // messages are full of < and >, and are read by people
	if err := enc.Encode(line); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decode reads one line. ok is false for what is no event: a torn line, or the remains of two that were glued.
func decode(line []byte) (e Event, ok bool) {
	if err := json.Unmarshal(line, &e); err != nil || e.Event == "" {
		return Event{}, false
	}
	return e, true
}

// cause takes the path off an error of the os package: our messages name it themselves.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
