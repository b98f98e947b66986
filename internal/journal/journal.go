// Package journal is the append-only history of batches: one line of JSON per event. The batch
// writes it; what watches a batch reads the journal and nothing else. Rotate moves a long file into
// the folder .journal beside it, and Each reads all files.
//
// A Writer adds events. A Reader follows the file; Skim is its first look. State is what the events
// of a batch add up to, and Estimate says how long something takes. Last says how the last batch
// ended. Errors name the file. No result depends on the journal: to delete journal.jsonl loses
// history only. A reader passes over a line that is no event, such as one that a crash has torn. It
// also passes over a line of more than 4 MB.
package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"grimperium/internal/durable"
)

// The kinds of events.
const (
	BatchStart  = "batch_start"
	TargetStart = "target_start"
	TargetEnd   = "target_end"
	Row         = "row"         // a molecule's row of the table is written
	Unchanged   = "unchanged"   // molecules for which nothing ran and no row was written
	Note        = "note"        // a fact for a reader of the history, in Error
	Stopping    = "stopping"    // mage stop: no new target starts
	Interrupted = "interrupted" // the first signal: what is under way counts no rerun
	Cluster     = "cluster"     // how the tasks of a batch on a cluster stand
	BatchEnd    = "batch_end"
)

// The outcomes of a target; Interrupted is one, too. A batch ends as Done, Interrupted or Failed.
// The outcome of a row is its status in the table.
const (
	OK       = "ok"
	Failed   = "failed"
	Timeout  = "timeout"
	Restored = "restored" // an earlier result was taken; nothing was computed
	Done     = "done"
)

// Event is one line. Event decides which of the other fields are set.
type Event struct {
	Time  time.Time `json:"time"` // written in UTC, to the millisecond
	Event string    `json:"event"`
	Batch string    `json:"batch,omitempty"` // the batch's id
	Host  string    `json:"host,omitempty"`  // of the process that wrote the event

	// Of batch_start.
	PID      int               `json:"pid,omitempty"`
	Table    string            `json:"table,omitempty"`
	Total    int               `json:"total,omitempty"`    // scheduled molecules
	Work     float64           `json:"work,omitempty"`     // sum of Weights; of unchanged, too
	Jobs     int               `json:"jobs,omitempty"`     // cores that the batch may use
	Stages   []Stage           `json:"stages,omitempty"`   // in the order in which they run
	Settings map[string]string `json:"settings,omitempty"` // the values of the variables
	Given    map[string]string `json:"given,omitempty"`    // those not by default: by what
	Programs map[string]string `json:"programs,omitempty"` // their versions
	User     string            `json:"user,omitempty"`     // who started the batch

	// Of target_start, target_end and row.
	Mol       string    `json:"mol,omitempty"`
	Stage     string    `json:"stage,omitempty"`
	Instance  int       `json:"instance,omitempty"`  // 1, 2, ... of Instances; 0 if there is one
	Instances int       `json:"instances,omitempty"` // of a stage that runs several times
	Size      []float64 `json:"size,omitempty"`      // of the molecule, if known

	// Of target_end, row and batch_end.
	Outcome string  `json:"outcome,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // wall time of the target, the molecule or the batch
	Error   string  `json:"error,omitempty"`

	// Of row. The values and inputs are last: Skim cuts them off.
	Shown  []string          `json:"shown,omitempty"`  // what pipeline.hcl has displayed
	Retry  bool              `json:"retry,omitempty"`  // it is tried again in this batch
	Values map[string]string `json:"values,omitempty"` // the merged cells, "" where blanked
	Inputs map[string]string `json:"inputs,omitempty"` // the cells that the pipeline reads

	Counts map[string]int `json:"counts,omitempty"` // of batch_end and unchanged: rows, by status
	Tasks  *Tasks         `json:"tasks,omitempty"`  // of cluster
}

// Tasks are the tasks of a batch on a cluster.
type Tasks struct {
	Running int     `json:"running"`
	Pending int     `json:"pending"`
	Failed  int     `json:"failed"` // that ended with something left
	Cores   int     `json:"cores"`  // of the running ones
	Used    float64 `json:"used"`   // core hours
	Left    float64 `json:"left"`   // core hours, as expected
}

// Stage is a stage as a display names it.
type Stage struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
}

// Target is the target of an event, as "pm7/2".
func (e Event) Target() string {
	return strings.TrimSuffix(fmt.Sprintf("%s/%d", e.Stage, e.Instance), "/0")
}

// Final says whether e is the row that ends a molecule's part in the batch.
func (e Event) Final() bool { return e.Event == Row && !e.Retry }

// Computed says whether a program or a built-in ran to an end.
func (e Event) Computed() bool {
	return e.Event == TargetEnd && (e.Outcome == OK || e.Outcome == Failed || e.Outcome == Timeout)
}

// Writer appends events to the journal at Path. Several goroutines and processes may write.
type Writer struct {
	Path        string
	Batch, Host string // of each event; one about another batch names that
}

// Write appends events by one write(2). A zero Time is now. The file is made if it is missing, its
// folder is not. A symbolic link is an error.
func (w Writer) Write(events ...Event) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines) // ends each line
	enc.SetEscapeHTML(false)       // people read messages, which are full of < and >
	for _, e := range events {
		e.Batch, e.Host = cmp.Or(e.Batch, w.Batch), cmp.Or(e.Host, w.Host)
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		line := struct {
			Time string `json:"time"` // hides the event's own; three decimals, so that lines sort
			Event
		}{e.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"), e}
		if err := enc.Encode(line); err != nil {
			return fmt.Errorf("%s: event %s cannot be written: %w", w.Path, e.Event, err)
		}
	}
	err := durable.Append(w.Path, lines.Bytes())
	switch {
	case errors.Is(err, syscall.ELOOP):
		return fmt.Errorf("%s: the journal cannot be opened: it is a symbolic link, which a "+
			"batch does not follow; remove it", w.Path)
	case err != nil:
		return fmt.Errorf("the journal cannot be written: %w", err)
	}
	return nil
}

// decode reads one line. A line that is no event, such as a torn one, gives the zero Event.
func decode(line []byte) (e Event) {
	if json.Unmarshal(line, &e) != nil {
		return Event{}
	}
	return e
}

// events gives the events of lines.
func events(see func(Event)) func(line []byte) {
	return func(line []byte) {
		if e := decode(line); e.Event != "" {
			see(e)
		}
	}
}

const (
	buffer    = 256 << 10 // bytes that are read at once
	maxLine   = 4 << 20   // bytes; a line that is longer is damage
	maxTail   = 64 << 20  // bytes from the end in which Last looks for open targets
	pastBytes = 2 << 20   // from the end from which Past learns: some thousand targets
)

// Reader follows a journal. It keeps no file open, and its memory does not grow with the file.
type Reader struct {
	// OwnTable says whether batches of a table count, whose events alone are given. nil: all do.
	OwnTable func(table string) bool

	path    string
	offset  int64           // of the next line
	foreign map[string]bool // ids of batches that do not count
}

// Open returns a reader of the whole journal. The file need not exist yet.
func Open(path string) *Reader { return &Reader{path: path, foreign: map[string]bool{}} }

// OpenTail returns a reader of the last bytes and of what is still to be written.
func OpenTail(path string, size int64) *Reader {
	r := Open(path)
	if info, err := os.Stat(path); err == nil {
		r.offset = max(info.Size()-size, 0) // the piece of a line is no event
	}
	return r
}

// Each gives the events of the complete lines that came since the last call. An absent file has no
// events. A file that became shorter is another one, and is read from its beginning.
func (r *Reader) Each(see func(Event)) error { return r.lines(events(r.only(see))) }

// only passes on the events of batches that count.
func (r *Reader) only(see func(Event)) func(Event) {
	return func(e Event) {
		if e.Event == BatchStart && r.OwnTable != nil && !r.OwnTable(e.Table) {
			r.foreign[e.Batch] = true
		}
		if !r.foreign[e.Batch] {
			see(e)
		}
	}
}

// lines gives the lines for Each. r.offset is where the line begins.
func (r *Reader) lines(see func(line []byte)) error {
	f, err := durable.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the journal cannot be read: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < r.offset {
		r.offset = 0
	}
	return lines(io.NewSectionReader(f, r.offset, 1<<62), func(line []byte) {
		see(line)
		r.offset += int64(len(line))
	})
}

// lines gives the complete lines of a file. A line that is too long comes in pieces.
func lines(from io.Reader, see func(line []byte)) error {
	in := bufio.NewScanner(from)
	in.Buffer(make([]byte, buffer), 2*maxLine)
	in.Split(func(data []byte, _ bool) (n int, line []byte, err error) {
		if n = bytes.IndexByte(data, '\n') + 1; n == 0 && len(data) > maxLine {
			n = maxLine
		}
		if n > 0 { // else more is needed
			line = data[:n]
		}
		return n, line, nil
	})
	for in.Scan() {
		see(in.Bytes())
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("the journal cannot be read: %w", err)
	}
	return nil
}

// find returns the last event that begins with kind, or zero, and the offset of its line. More and
// more of the end of the file is searched.
func find(path, kind string) (e Event, at int64, err error) {
	from := int64(1)
	for size := int64(32 << 10); err == nil && e.Event == "" && from > 0; size *= 32 {
		r := OpenTail(path, size)
		from = r.offset
		take := events(func(found Event) {
			if strings.HasPrefix(found.Event, kind) {
				e, at = found, r.offset
			}
		})
		err = r.lines(func(line []byte) {
			if bytes.Contains(line, []byte(`"event":"`+kind)) { // in a text, the quotes are escaped
				take(line)
			}
		})
	}
	return e, at, err
}

// LastStart is the batch_start of the last batch, the zero Event if it is not known.
func LastStart(path string) Event {
	e, _, _ := find(path, BatchStart)
	return e
}

// LastBatch is what the scheduler asks of the last batch when it starts.
type LastBatch struct {
	ID          string            // "" if the journal has no batch
	Ended       bool              // it wrote batch_end, or there is none; else its process died
	Interrupted bool              // it had a signal: its open targets are no deaths
	Open        map[string]string // targets without an end, as "pm7/2", by mol_id; none if it ended
	Rows        map[string]bool   // mol_ids whose rows it wrote; none if it ended
}

// Last says how the last batch ended. It reads the last 64 MB of the journal.
func Last(path string) (LastBatch, error) {
	e, at, err := find(path, "batch_")
	batch := LastBatch{ID: e.Batch, Ended: e.Event != BatchStart, Open: map[string]string{},
		Rows: map[string]bool{}}
	if err != nil || batch.Ended {
		return batch, err
	}
	r := OpenTail(path, maxTail)
	r.offset = max(at, r.offset)
	err = r.Each(func(e Event) {
		if e.Event == Row {
			batch.Rows[e.Mol] = true
		}
		switch {
		case e.Event == TargetStart:
			batch.Open[e.Mol] = e.Target()
		case e.Event == TargetEnd || e.Final():
			delete(batch.Open, e.Mol)
		case e.Event == Interrupted:
			batch.Interrupted = true
		}
	})
	return batch, err
}
