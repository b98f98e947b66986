// Package journal is the append-only history of batches: one line of JSON per event, in one file.
// The batch writes it; what watches a batch reads the journal and nothing else.
//
// A Writer adds events. A Reader follows the file. State is what the events of a batch add up to,
// and Estimate says from earlier events how long something takes. Last says how the last batch
// ended.
//
// No result depends on the journal: to delete journal.jsonl loses history only. A line that is no
// event, such as one that a crash has torn, is passed over. Errors name the file.
package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"grimperium/internal/durable"
)

// The kinds of events.
const (
	BatchStart  = "batch_start"
	Scheduled   = "scheduled" // more molecules have something to do: Total and Work of all
	TargetStart = "target_start"
	TargetEnd   = "target_end"
	Row         = "row"         // a molecule's row of the table is written
	Note        = "note"        // a fact for a reader of the history, in Error
	Stopping    = "stopping"    // mage stop: no new target starts
	Interrupted = "interrupted" // the first signal: what is under way counts no rerun
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

	// Of batch_start. Total and Work are also of scheduled.
	PID    int     `json:"pid,omitempty"`
	Table  string  `json:"table,omitempty"`
	Total  int     `json:"total,omitempty"`  // scheduled molecules
	Work   float64 `json:"work,omitempty"`   // the sum of their weights, see Weight
	Jobs   int     `json:"jobs,omitempty"`   // cores that the batch may use
	Stages []Stage `json:"stages,omitempty"` // in the order in which they run
	// Settings are the values of the pipeline's variables.
	Settings map[string]string `json:"settings,omitempty"`

	// Of target_start, target_end and row.
	Mol       string    `json:"mol,omitempty"`
	Stage     string    `json:"stage,omitempty"`
	Instance  int       `json:"instance,omitempty"`  // 1, 2, ... of Instances; 0 if there is one
	Instances int       `json:"instances,omitempty"` // of a stage that runs several times
	Size      []float64 `json:"size,omitempty"`      // of the molecule, if known; not of target_end

	// Of target_end, row and batch_end.
	Outcome string  `json:"outcome,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // wall time of the target, the molecule or the batch
	Error   string  `json:"error,omitempty"`

	// Of row: the merged cells, and whether the molecule is tried again later in this batch.
	Values map[string]string `json:"values,omitempty"`
	Retry  bool              `json:"retry,omitempty"`

	// Of batch_end: how many rows got which status.
	Counts map[string]int `json:"counts,omitempty"`
}

// Stage is a stage as a display names it.
type Stage struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
}

// Writer appends events to the journal at Path. Several goroutines, and several processes, may
// write.
type Writer struct {
	Path        string
	Batch, Host string // of each event; one about another batch names that
}

// Write appends events, one a line, by one write(2). A zero Time is now. The file is made if it is
// missing, its folder is not. A symbolic link is an error.
func (w Writer) Write(events ...Event) error {
	var lines bytes.Buffer
	for _, e := range events {
		e.Batch, e.Host = cmp.Or(e.Batch, w.Batch), w.Host
		if err := encode(&lines, e); err != nil {
			return fmt.Errorf("%s: event %s cannot be written: %w", w.Path, e.Event, err)
		}
	}
	err := durable.Append(w.Path, lines.Bytes())
	if errors.Is(err, syscall.ELOOP) {
		return fmt.Errorf("%s: the journal cannot be opened: it is a symbolic link, "+
			"which a batch does not follow; remove it", w.Path)
	}
	return wrap(err, w.Path, "the journal cannot be written")
}

// timeFormat is RFC 3339 with exactly three decimals, so that lines sort and align.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func encode(to *bytes.Buffer, e Event) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	line := struct {
		Time string `json:"time"` // hides the event's own
		Event
	}{e.Time.UTC().Format(timeFormat), e}
	enc := json.NewEncoder(to) // ends the line
	enc.SetEscapeHTML(false)   // people read messages, which are full of < and >
	return enc.Encode(line)
}

// decode reads one line. A line that is no event, such as a torn one, gives the zero Event.
func decode(line []byte) (e Event) {
	if json.Unmarshal(line, &e) != nil {
		return Event{}
	}
	return e
}

// wrap names the file once: an error of the os package has the path, too.
func wrap(err error, path, what string) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	if err != nil {
		err = fmt.Errorf("%s: %s: %w", path, what, err)
	}
	return err
}
