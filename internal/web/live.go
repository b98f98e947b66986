package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"grimperium/internal/journal"
)

// Status is what a batch does, as of the last event, for the live page and for programs. Times are
// in seconds.
type Status struct {
	Batch     string    `json:"batch"` // "" before the first batch
	Running   bool      `json:"running"`
	Stopping  bool      `json:"stopping"`
	Started   time.Time `json:"started,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	LastEvent time.Time `json:"last_event,omitzero"`
	Jobs      int       `json:"jobs"`
	Total     int       `json:"total"` // molecules of the batch
	Done      int       `json:"done"`
	Failed    int       `json:"failed"`
	Rest      float64   `json:"rest_seconds"` // 0 if not known
	Stages    []string  `json:"stages"`
	UnderWay  []Active  `json:"under_way"`
	Failures  []Ended   `json:"failures"` // the last ones, the newest first
	Results   []Ended   `json:"results"`  // the same of molecules with the status OK
}

// Active is a molecule under way.
type Active struct {
	ID        string    `json:"mol_id"`
	Stage     string    `json:"stage"`
	Since     time.Time `json:"since"`
	Targets   int       `json:"targets"` // of that stage
	Finished  int       `json:"finished"`
	StageFrom time.Time `json:"stage_since"`
}

// Ended is a molecule whose row was written.
type Ended struct {
	Time    time.Time         `json:"time"`
	ID      string            `json:"mol_id"`
	Status  string            `json:"status"`
	Seconds float64           `json:"seconds"`
	Error   string            `json:"error,omitempty"`
	Shown   []string          `json:"shown,omitempty"`  // what pipeline.hcl has displayed
	Values  map[string]string `json:"values,omitempty"` // the merged cells
}

const (
	lastEnded   = 20
	lookEvery   = 500 * time.Millisecond
	mostWaiting = 64 // watchers
)

// watcher follows a journal and tells all who listen.
type watcher struct {
	reader *journal.Reader
	host   string         // this machine
	begun  sync.WaitGroup // the first look

	mu        sync.Mutex
	state     journal.State
	start     journal.Event        // of the batch
	since     map[string]time.Time // first target of the molecules under way
	status    Status
	fields    fields
	listeners map[chan fields]bool
}

// fields are a status in JSON, by the names of its fields. They never change.
type fields map[string]json.RawMessage

// since returns those that differ from older ones. A field that is gone is null.
func (f fields) since(old fields) fields {
	news := fields{}
	for name, value := range f {
		if !bytes.Equal(value, old[name]) {
			news[name] = value
		}
	}
	for name := range old {
		if f[name] == nil {
			news[name] = json.RawMessage("null")
		}
	}
	return news
}

// newWatcher returns a watcher of the last batch of our table, whether it runs or not. Nothing is
// known of the batch before begin.
func newWatcher(path string, ownTable func(table string) bool) *watcher {
	w := &watcher{reader: journal.Open(path), listeners: map[chan fields]bool{},
		status: Status{Failures: []Ended{}, Results: []Ended{}}}
	w.reader.OwnTable = ownTable
	w.host, _ = os.Hostname()
	w.begun.Add(1)
	return w
}

// begin looks for the first time. Who asks meanwhile waits: 0.6 s for 100,000 molecules.
func (w *watcher) begin() error {
	defer w.begun.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.reader.Skim(lastEnded, w.add); err != nil {
		return err
	}
	return w.tell()
}

// follow looks at the journal until the context ends. The error is the journal's.
func (w *watcher) follow(ctx context.Context) error {
	if err := w.begin(); err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := w.look(); err != nil {
				return err
			}
		}
	}
}

// look takes in the events that are new, and tells the listeners if there are some, or if the batch
// died.
func (w *watcher) look() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := false
	err := w.reader.Each(func(e journal.Event) {
		seen = true
		w.add(e)
	})
	if err != nil || !seen && !(w.status.Running && w.died()) {
		return err
	}
	return w.tell()
}

// tell brings the status up to date, and sends it to the listeners.
func (w *watcher) tell() error {
	w.fill()
	text, err := json.Marshal(w.status)
	if err != nil {
		return err
	}
	w.fields = nil
	if err := json.Unmarshal(text, &w.fields); err != nil {
		return err
	}
	for c := range w.listeners {
		select { // a listener that is slow gets the newest status only
		case <-c:
		default:
		}
		c <- w.fields
	}
	return nil
}

// add takes in an event.
func (w *watcher) add(e journal.Event) {
	w.state.Add(e)
	if e.Batch != w.state.Batch || w.state.Batch == "" {
		return
	}
	if e.Event == journal.BatchStart || e.Time.After(w.status.LastEvent) { // Skim gives rows first
		w.status.LastEvent = e.Time
	}
	if w.state.UnderWay[e.Mol] == nil {
		delete(w.since, e.Mol)
	} else if _, known := w.since[e.Mol]; !known {
		w.since[e.Mol] = e.Time
	}
	switch {
	case e.Event == journal.BatchStart:
		w.start, w.since = e, map[string]time.Time{}
		w.status.Failures, w.status.Results = []Ended{}, []Ended{}
	case e.Final():
		ended := Ended{Time: e.Time, ID: e.Mol, Status: e.Outcome, Seconds: e.Seconds,
			Error: e.Error, Shown: e.Shown, Values: e.Values}
		list := &w.status.Failures
		if e.Outcome == "OK" {
			list = &w.status.Results
		} else if ended.Error == "" {
			ended.Error = e.Values["error_message"]
		}
		*list = slices.Insert(*list, 0, ended)
		*list = (*list)[:min(len(*list), lastEnded)]
	}
}

// fill brings the status up to the state.
func (w *watcher) fill() {
	s, st := &w.status, &w.state
	s.Batch, s.Started, s.Ended, s.Jobs = st.Batch, st.Started, st.Ended, w.start.Jobs
	s.Running, s.Stopping = st.Batch != "" && st.Ended.IsZero(), st.Stopping || st.Interrupted
	s.Total, s.Done, s.Failed = st.Total, st.Done, st.Failed
	s.Rest, s.Stages, s.UnderWay = 0, []string{}, []Active{}
	for _, stage := range st.Stages {
		s.Stages = append(s.Stages, stage.Name)
	}
	if s.Running && w.died() {
		s.Running, s.Ended = false, s.LastEvent
	}
	if !s.Running {
		return
	}
	s.Rest = st.Rest(s.LastEvent).Seconds()
	for id, m := range st.UnderWay {
		finished := max(m.Instance, 1)
		if !m.Running.IsZero() {
			finished--
		}
		s.UnderWay = append(s.UnderWay, Active{ID: id, Stage: m.Stage, Since: w.since[id],
			Targets: max(m.Instances, 1), Finished: finished, StageFrom: m.StageSince})
	}
	slices.SortFunc(s.UnderWay, func(a, b Active) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}

// died says whether the batch's process is gone. It is not known of another host's.
func (w *watcher) died() bool {
	return w.start.Host == w.host && w.start.PID > 0 &&
		syscall.Kill(w.start.PID, 0) == syscall.ESRCH
}

// listen returns a channel that gets each new status, and the function that ends that.
func (w *watcher) listen() (<-chan fields, func(), error) {
	w.begun.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.listeners) >= mostWaiting {
		return nil, nil, fmt.Errorf("%d pages watch already", mostWaiting)
	}
	c := make(chan fields, 1)
	c <- w.fields
	w.listeners[c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.listeners, c)
	}, nil
}

// now returns the status.
func (w *watcher) now() Status {
	w.begun.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.status
	s.Failures, s.Results = slices.Clone(s.Failures), slices.Clone(s.Results) // look changes them
	return s
}
