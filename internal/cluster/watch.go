package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
)

// Mode says how long a batch stays with its run.
type Mode int

const (
	Follow Mode = iota // until all is done
	Detach             // it takes what there is, submits what is to be submitted, and ends
	Cancel             // it takes what there is, and removes the run, whose tasks End has ended
)

// Watcher is the batch's side of a run.
type Watcher struct {
	Pipeline *pipeline.Pipeline
	Timeouts map[string]time.Duration
	Estimate journal.Estimate
	Mode     Mode
	Last     bool          // this is the last job of -detach: nobody has corrected anything
	Again    []string      // the words of the command that goes on with the run
	Poll     time.Duration // between two questions to Slurm; 0: 30 s

	Note string // what a person should know when the batch has ended

	run       *Run
	plan      *Plan
	job       batch.Job
	processes map[string]*process
	notes     map[string]bool // texts that the journal has

	lastTasks   journal.Tasks // in the journal
	lastTasksAt time.Time
	lastLook    time.Time
	slurmTasks  []slurmTask // at the last look
	answered    bool        // Slurm did, at the last look
	now         time.Time   // then, by the clock of the file system
}

const (
	pollEvery = 30 * time.Second
	unknown   = 60.0 // seconds of a molecule of which nothing is known
)

// Remote is what a batch gives its molecules to.
func (w *Watcher) Remote(ctx context.Context, j batch.Job) iter.Seq2[[]batch.Outcome, error] {
	return func(yield func([]batch.Outcome, error) bool) {
		outs, err := w.open(j)
		if !yield(outs, err) || err != nil {
			return
		}
		for last := false; !last; {
			begin := time.Now()
			if last, err = w.step(ctx); err == nil {
				outs, err = w.scan(func(batch.Outcome) bool { return true })
				err = cmp.Or(err, w.tell())
			}
			if !yield(outs, err) || err != nil {
				return
			}
			if last = last || w.plan.Done(); last {
				break
			}
			select { // looking takes 5 % of the time
			case <-ctx.Done():
			case <-time.After(min(max(20*time.Since(begin), w.poll()/30), w.poll())):
			}
		}
		yield(nil, w.close(ctx))
	}
}

func (w *Watcher) poll() time.Duration { return cmp.Or(w.Poll, pollEvery) }

// open finds the run that is under way, or begins one. It gives outcomes that the batch before did
// not take.
func (w *Watcher) open(j batch.Job) (outs []batch.Outcome, err error) {
	w.job, w.processes, w.notes = j, map[string]*process{}, map[string]bool{}
	w.newPlan()
	if w.run, err = Find(w.Pipeline.Artefacts); err != nil {
		return nil, err
	}
	begun := w.run != nil
	if begun {
		outs, err = w.resume()
	} else {
		err = w.begin()
	}
	room := j.Limit - w.plan.Molecules()
	for _, row := range j.Rows {
		if err == nil && room > 0 && !w.plan.Has(row.ID) && w.Mode != Cancel {
			w.plan.Add(w.piece(row))
			room--
		}
	}
	if text := w.plan.tooLong(); text != "" && err == nil {
		w.note(text)
	}
	return outs, err
}

func (w *Watcher) newPlan() {
	width := 1
	for _, s := range w.Pipeline.Stages {
		width = max(width, s.Cores)
	}
	w.plan = NewPlan(*w.Pipeline.Cluster, w.Pipeline.MaxReruns, width)
}

// piece is a molecule with the time that is expected of it.
func (w *Watcher) piece(row batch.Row) Piece {
	var names []string
	for _, s := range w.Pipeline.Stages {
		if !s.Off() {
			names = append(names, s.Name)
		}
	}
	seconds := w.Estimate.Molecule(row.Size, names...).Seconds()
	return Piece{row, cmp.Or(seconds, unknown)}
}

// resume takes in what a run before this process has done.
func (w *Watcher) resume() (outs []batch.Outcome, err error) {
	if r := w.run; r.Pipeline.Key != w.Pipeline.Key && w.Mode != Cancel {
		return nil, fmt.Errorf("%s computes with another pipeline.hcl, other variables or "+
			"another file that a command names. Take the edit back, or end that run by -cancel "+
			"and start again: what is finished stays",
			batch.ShownPath(r.dir))
	}
	if err := w.samePrograms(); err != nil && w.Mode != Cancel {
		return nil, err
	}
	chunks, err := w.run.chunks()
	if err != nil {
		return nil, err
	}
	keys := map[string][16]byte{} // of the rows that this batch has to do
	for _, row := range w.job.Rows {
		keys[row.ID] = row.Key
	}
	edited := 0
	for _, c := range chunks {
		for _, piece := range c.Pieces {
			if key, ok := keys[piece.Row.ID]; ok && key != piece.Row.Key {
				edited++
			}
		}
		w.plan.Restore(c)
	}
	if edited > 0 {
		w.note(fmt.Sprintf("%s that tasks compute were edited since; the next batch computes these",
			batch.Count(edited, "row")))
	}
	merged := map[string]bool{} // the last outcome of a molecule decides
	outs, err = w.scan(func(out batch.Outcome) bool {
		merged[out.Row.ID] = w.job.Merged(out)
		return !merged[out.Row.ID]
	})
	if w.Last {
		w.recall()
	}
	return slices.DeleteFunc(outs, func(out batch.Outcome) bool { return merged[out.Row.ID] }), err
}

// recall counts the failures before this process.
func (w *Watcher) recall() {
	worked := map[int]bool{} // by number of the chunk
	for _, p := range w.processes {
		worked[p.chunk] = worked[p.chunk] || p.worked
		isSeen := w.plan.open[p.chunk] != nil // by the next look
		if !isSeen && p.end != nil && (p.end.Refused || p.end.Failed) {
			w.plan.blame(Sight{Node: p.start.Node, Refused: p.end.Refused})
		}
	}
	w.plan.Recall(worked)
}

// samePrograms is an error if a program is another version than when the run began.
func (w *Watcher) samePrograms() error {
	for _, name := range slices.Sorted(maps.Keys(w.run.Programs)) {
		if was, is := w.run.Programs[name], w.job.Programs[name]; was != is {
			return fmt.Errorf("%s computes with %s %q, and this host has %q. Install that version "+
				"again, or end that run by -cancel and start again: what is finished stays",
				batch.ShownPath(w.run.dir), name, was, is)
		}
	}
	return nil
}

// scan gives the wanted ones of the outcomes that tasks have written since the last scan.
func (w *Watcher) scan(wanted func(batch.Outcome) bool) (outs []batch.Outcome, err error) {
	if err := w.run.processes(w.processes); err != nil {
		return nil, err
	}
	for _, p := range w.processes {
		if p.end == nil {
			err = cmp.Or(err, p.read(func(out batch.Outcome) {
				if w.plan.Take(out) && wanted(out) {
					outs = append(outs, out)
				}
			}))
		}
	}
	return outs, err
}

// step asks Slurm, if it is time, and does what follows. last: the batch ends here.
func (w *Watcher) step(ctx context.Context) (last bool, err error) {
	if w.Mode == Cancel { // End came before
		return true, nil
	}
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			return true, w.cancel(ctx) // the batch itself failed
		}
		w.Note = "The jobs go on without this batch. " + way
		return true, nil
	}
	if time.Since(w.lastLook) < w.poll() && !w.lastLook.IsZero() {
		return false, nil
	}
	if err := w.look(ctx); err != nil {
		return true, err
	}
	if w.job.Stopping() { // the running ones see it themselves
		w.Note = ""
		for _, name := range w.submissions() {
			err = cmp.Or(err, cancel(ctx, name, "PENDING"))
		}
		return !slices.ContainsFunc(w.plan.Open(), w.alive), err
	}
	chunks, err := w.plan.Deal()
	if err != nil {
		w.Note = "" // no task is left
	} else if chunks != nil {
		err = w.submit(ctx, chunks)
	}
	if last = w.Mode == Detach && !w.plan.Undecided; last && err == nil {
		if err = w.detach(ctx); err != nil {
			err = fmt.Errorf("the tasks run, but no last job merges what they finish: %w. The "+
				"same command merges it, or submits that job", err)
		}
	}
	return last, err
}

// way says how to go on with the run, and how to end it.
var way = command.Name +
	" batch -on=slurm shows them and merges their results; with -cancel it ends them."

func (w *Watcher) submissions() (names []string) {
	for _, c := range w.plan.Open() {
		if name := w.run.submission(c.First); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// note says something once: in the journal, for who watches and for the history.
func (w *Watcher) note(text string) {
	if w.notes[text] {
		return
	}
	w.notes[text] = true
	// only those who watch miss it
	_ = w.job.Log(journal.Event{Event: journal.Cluster, Error: text})
}

// look asks Slurm for the tasks, and takes back the work of those that are gone.
func (w *Watcher) look(ctx context.Context) error {
	var err error
	w.slurmTasks, err = queue(ctx, w.submissions())
	if w.lastLook, w.answered = time.Now(), err == nil; err != nil {
		w.note(err.Error() + "; the batch goes on by the files of the tasks")
	}
	if w.now, err = w.run.now(); err != nil {
		return err
	}
	held := map[string]int{}
	for _, l := range w.slurmTasks {
		if state, _, _ := stateOf(l.state); state == Waiting && stuck(l.reason) {
			held[l.reason]++
		}
	}
	for reason, n := range held {
		w.note(fmt.Sprintf("Slurm does not start %s: %s (squeue shows them, scontrol release "+
			"frees held ones)", batch.Count(n, "task"), reason))
	}
	gone, notes := w.plan.Observe(w.sight)
	for _, c := range gone {
		err = cmp.Or(err, w.run.setClaim(c.Number, closed)) // a process that lives on sees it
	}
	for _, text := range notes {
		w.note(text)
	}
	return err
}

// slurmTask is what Slurm said of a chunk last.
func (w *Watcher) slurmTask(c *Chunk) (slurmTask, bool) {
	name := w.run.submission(c.First)
	i := slices.IndexFunc(w.slurmTasks, func(l slurmTask) bool {
		return l.submission == name && l.index == c.Number-c.First
	})
	if i < 0 {
		return slurmTask{}, false
	}
	return w.slurmTasks[i], true
}

// sight is what is seen of a chunk's task.
func (w *Watcher) sight(c *Chunk) (s Sight) {
	l, ok := w.slurmTask(c)
	counts := true
	switch {
	case ok:
		s.State, counts, s.Blame = stateOf(l.state)
		s.Node, s.Cause = l.node, l.state
		if l.reason != "None" && l.reason != "" {
			s.Cause += ", " + l.reason
		}
		s.Cause += fmt.Sprintf(" (job %s)", l.job)
	case w.answered:
		s.State, s.Cause = Unlisted, "Slurm no longer lists it"
	default:
		s.Cause = "Slurm gives no answer"
	}
	who, beat, err := w.run.claim(c.Number)
	s.Fresh = err != nil || w.now.Sub(beat) < beats*beatEvery
	p := w.processes[w.run.path(who)]
	switch s.Ended = who == closed || p != nil && p.end != nil; {
	// Slurm may start a task again that was told to end.
	case s.Ended && (s.State == Unknown || p == nil || p.end.Error != errSignal.Error()):
		s.State = Over
	case s.State != Over && s.State != Unlisted:
		return s
	}
	if p == nil { // none began, or the batch before has closed the chunk
		s.Cause += w.words(c)
		return s
	}
	s.Node = cmp.Or(p.start.Node, s.Node)
	switch {
	case s.Ended:
		s.Refused, s.Blame = p.end.Refused, p.end.Failed
		if s.Cause = p.end.Error; ok && s.Cause == errSignal.Error() {
			s.Cause += fmt.Sprintf(": %s (job %s)", l.state, l.job)
		}
		s.Dead = p.end.Late
	case counts && strings.HasPrefix(w.words(c), ": Error: "): // as of a full disk: no death
		s.Cause += w.words(c)
	case counts:
		if last, err := journal.Last(p.path + journalSuffix); err == nil && !last.Interrupted {
			s.Dead = last.Open
		}
		s.Cause = "the task died: " + s.Cause + w.words(c)
	}
	return s
}

// words are the last words of a task that Slurm has kept.
func (w *Watcher) words(c *Chunk) string {
	data, err := os.ReadFile(w.run.path(fmt.Sprintf("task-%d.%d.log", c.First, c.Number-c.First)))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if last := lines[len(lines)-1]; err == nil && last != "" {
		return ": " + strings.ToValidUTF8(last[:min(len(last), 300)], "?")
	}
	return ""
}

// alive says whether a chunk's task works or waits. Without an answer of Slurm its file tells.
func (w *Watcher) alive(c *Chunk) bool {
	if !w.answered {
		return w.sight(c).Fresh
	}
	l, ok := w.slurmTask(c)
	state, _, _ := stateOf(l.state)
	return ok && state != Over
}

// tell tells the journal how the tasks stand, if that is news.
func (w *Watcher) tell() error {
	t, last := w.tasks(), w.lastTasks
	if t.Running == last.Running && t.Pending == last.Pending && t.Failed == last.Failed &&
		time.Since(w.lastTasksAt) < w.poll() {
		return nil
	}
	w.lastTasks, w.lastTasksAt = t, time.Now()
	return w.job.Log(journal.Event{Event: journal.Cluster, Tasks: &t})
}

// tasks counts the tasks, by their files.
func (w *Watcher) tasks() (t journal.Tasks) {
	works := map[int]bool{} // by number of the chunk
	for _, p := range w.processes {
		until := p.beat
		if works[p.chunk] = works[p.chunk] || p.end == nil; p.end != nil {
			until = p.end.Time
		}
		t.Used += max(until.Sub(p.start.Time).Hours(), 0) * float64(p.start.Cores)
	}
	for _, c := range w.plan.Open() {
		if works[c.Number] {
			t.Running, t.Cores = t.Running+1, t.Cores+c.Cores
		} else {
			t.Pending++
		}
	}
	t.Failed, t.Left = w.plan.Lost, w.plan.Seconds()/3600
	return t
}
