// Package cluster computes a batch's molecules on a cluster. It submits chunks of molecules to
// Slurm as the tasks of an array, watches the tasks, and gives the batch the outcome of each
// molecule.
//
// The truth is in files below artefacts/.cluster/ID: chunks, and what the tasks write. Slurm only
// says whether a task lives. A Plan decides what to do; a Watcher does it, on the side of the
// batch; Do is a task. docs/cluster.md is the page for users, docs/format.md describes the files.
package cluster

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
)

// Piece is a molecule with the time that is expected of it on one core.
type Piece struct {
	Row     batch.Row
	Seconds float64
}

// Chunk is the work of one task.
type Chunk struct {
	Number int
	First  int // the number of the first chunk of its submission
	Cores  int
	Wall   time.Duration // of the task
	Pieces []Piece       // the longest first

	Scratch  string                   // on the node, with names of its environment; "": none
	Timeouts map[string]time.Duration // by stage, instead of the pipeline's

	left   map[string]Piece // by mol_id: not finished, and in no later chunk
	unseen int              // polls in a row in which Slurm did not list it
}

// Fits says whether a molecule can be finished, if the task has run for so long. In its first tenth
// every molecule is taken: no task has more time.
func (c *Chunk) Fits(p Piece, since time.Duration) bool {
	needs := time.Duration(1.3 * p.Seconds * float64(time.Second))
	return since < c.Wall/10 || since+needs < c.Wall*9/10
}

// Limit is when a task interrupts what is under way, to write that before its time is over.
func (c *Chunk) Limit() time.Duration { return c.Wall - min(time.Minute, c.Wall/10) }

// State is what Slurm says of a task.
type State int

const (
	Unknown  State = iota // Slurm gave no answer
	Unlisted              // it does not know the task, or forgot it
	Waiting
	Running
	Over
)

// Sight is what is seen of a chunk's task, by Slurm and in its files.
type Sight struct {
	State State
	Node  string
	Cause string // in Slurm's words or the task's own
	Blame bool   // the node may have caused the end
	// Fresh says that its process gave a sign of life lately. Ended says that its last process
	// wrote that it ended. Refused says that the node has other programs.
	Fresh, Ended, Refused bool
	Dead                  map[string]string // mol_id to the target in which the task died
}

// Plan says which molecules of a run are in which task, and what is to be done. It knows no files,
// no Slurm and no clock.
type Plan struct {
	Spec      pipeline.Cluster
	MaxReruns int
	Width     int      // cores that the widest stage takes
	Excluded  []string // nodes

	chunks     []*Chunk          // by number
	open       map[int]*Chunk    // with something left
	at         map[string]*Chunk // by mol_id: the newest chunk that has it
	finished   map[string]bool   // by mol_id
	unassigned []*Piece          // molecules in no task
	failed     map[string]int    // by node
	rounds     int               // submissions since the last outcome
	cause      string            // of the last task that was lost
	Lost       int               // tasks that ended with something left
	Undecided  bool              // a task may be gone; the next look tells
}

const (
	// part of the wall time that the expected times of a chunk may take
	fill       = 0.6
	shortTask  = 10 * time.Minute // work for less is not spread over more tasks
	longest    = 6                // a core gets as much work as so many of the longest molecules
	maxArray   = 1000             // tasks of a submission: Slurm's default limit
	maxPieces  = 20_000           // of a chunk
	maxRounds  = 3                // submissions in a row that finish no molecule
	nodeFails  = 2                // after which a node gets no more tasks
	mostUnseen = 2                // polls after which a task that Slurm does not list is gone
)

// NewPlan is a plan without work.
func NewPlan(spec pipeline.Cluster, maxReruns, width int) *Plan {
	return &Plan{Spec: spec, MaxReruns: maxReruns, Width: max(width, 1), open: map[int]*Chunk{},
		at: map[string]*Chunk{}, finished: map[string]bool{}, failed: map[string]int{}}
}

// Add puts a molecule among those that are in no task.
func (p *Plan) Add(piece Piece) { p.unassigned = append(p.unassigned, &piece) }

// Has says whether a molecule was given to a task.
func (p *Plan) Has(id string) bool { return p.at[id] != nil }

// Molecules is how many molecules were given to tasks.
func (p *Plan) Molecules() int { return len(p.at) }

// Restore takes in a chunk that was submitted before. Chunks come in the order of their numbers.
func (p *Plan) Restore(c *Chunk) {
	c.left = map[string]Piece{}
	for _, piece := range c.Pieces {
		id := piece.Row.ID
		if old := p.at[id]; old != nil {
			p.drop(old, id)
		}
		p.at[id], c.left[id] = c, piece
	}
	p.chunks, p.open[c.Number] = append(p.chunks, c), c
}

func (p *Plan) drop(c *Chunk, id string) {
	if delete(c.left, id); len(c.left) == 0 {
		delete(p.open, c.Number)
	}
}

// Take takes in an outcome. It is false for one of a molecule that was finished before, as by a
// task that was believed dead.
func (p *Plan) Take(out batch.Outcome) bool {
	id := out.Row.ID
	if p.finished[id] {
		return false
	}
	p.rounds = 0
	row, again := out.Next()
	c := p.at[id]
	switch {
	case again && c != nil:
		piece := c.left[id]
		piece.Row = row
		c.left[id] = piece
	case !again:
		p.finished[id] = true
		if c == nil || p.open[c.Number] == nil {
			p.unassigned = slices.DeleteFunc(p.unassigned, func(piece *Piece) bool {
				return piece.Row.ID == id
			})
		}
		if c != nil {
			p.drop(c, id)
		}
	}
	return true
}

// Open are the chunks with something left, by number.
func (p *Plan) Open() []*Chunk {
	return slices.SortedFunc(func(yield func(*Chunk) bool) {
		for _, c := range p.open {
			if !yield(c) {
				return
			}
		}
	}, func(a, b *Chunk) int { return a.Number - b.Number })
}

// Done says that nothing is left.
func (p *Plan) Done() bool { return len(p.open) == 0 && len(p.unassigned) == 0 }

// Seconds are the expected times of all that is left.
func (p *Plan) Seconds() (sum float64) {
	for _, piece := range p.unassigned {
		sum += piece.Seconds
	}
	for _, c := range p.open {
		for _, piece := range c.left {
			sum += piece.Seconds
		}
	}
	return sum
}

// tooLong says which molecules in no task are expected to take longer than one has, "" for none.
func (p *Plan) tooLong() string {
	n, longest := 0, &Piece{}
	for _, piece := range p.unassigned {
		if piece.Seconds > p.Spec.Time.Seconds() {
			n++
		}
		if piece.Seconds > longest.Seconds {
			longest = piece
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s of more than %v are expected, and a task has no more. The longest is "+
		"%s, about %v. Raise time in the cluster block.", batch.Count(n, "molecule"), p.Spec.Time,
		longest.Row.ID, time.Duration(longest.Seconds*float64(time.Second)).Round(time.Minute))
}

// Observe takes back the work of tasks that are gone. Slurm says that such a task is over, or does
// not list it twice in a row, and its process gives no sign of life. notes say why.
func (p *Plan) Observe(see func(*Chunk) Sight) (gone []*Chunk, notes []string) {
	p.Undecided = false
	for _, c := range p.Open() {
		s := see(c)
		if s.State != Unlisted && s.State != Unknown {
			c.unseen = 0
		} else if s.State == Unlisted {
			c.unseen++
		}
		over := s.State == Over || s.State == Unlisted && c.unseen >= mostUnseen
		if !over || s.Fresh && !s.Ended {
			p.Undecided = p.Undecided || s.State == Over || s.State == Unlisted && !s.Fresh
			continue
		}
		for _, piece := range c.Pieces {
			piece, left := c.left[piece.Row.ID]
			if !left {
				continue
			}
			if target, died := s.Dead[piece.Row.ID]; died {
				if piece.Row.Status != csvmerge.Skip { // to be given up is an outcome, too
					p.rounds = 0
				}
				piece.Row = piece.Row.Dead(target, s.Cause, p.MaxReruns)
			}
			p.unassigned = append(p.unassigned, &piece)
		}
		notes = append(notes, fmt.Sprintf("task %d on node %s ended with %s left: %s", c.Number,
			cmp.Or(s.Node, "?"), batch.Count(len(c.left), "molecule"), s.Cause))
		gone, p.Lost = append(gone, c), p.Lost+1
		if p.cause == "" || s.Ended { // a task's own words say more than Slurm's
			p.cause = s.Cause
		}
		delete(p.open, c.Number)
		if s.Blame || s.Refused {
			notes = append(notes, p.blame(s)...)
		}
	}
	return gone, notes
}

// blame excludes a node that refused a chunk or failed twice.
func (p *Plan) blame(s Sight) []string {
	p.failed[s.Node]++
	enough := s.Refused || p.failed[s.Node] >= nodeFails
	if s.Node == "" || slices.Contains(p.Excluded, s.Node) || !enough {
		return nil
	}
	p.Excluded = append(p.Excluded, s.Node)
	return []string{"node " + s.Node + " gets no more tasks of this batch"}
}

// Deal makes chunks for one submission of what is in no task. It returns nil if there is nothing,
// or if the waiting and running tasks suffice. The error says that tasks only fail.
func (p *Plan) Deal() ([]*Chunk, error) {
	room := p.Spec.Tasks - len(p.open)
	if len(p.chunks) == 0 {
		room = maxArray
	}
	if len(p.unassigned) == 0 || room <= 0 {
		return nil, nil
	}
	if p.rounds >= maxRounds {
		if len(p.open) > 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("%d submissions in a row finished no molecule; the last task: %s; "+
			"correct that, and start the batch again", p.rounds, p.cause)
	}
	p.rounds++
	slices.SortStableFunc(p.unassigned, func(a, b *Piece) int {
		return cmp.Compare(b.Seconds, a.Seconds)
	})
	all := p.split()
	chunks := make([]*Chunk, min(room, all))
	for i := range chunks {
		chunks[i] = &Chunk{Number: len(p.chunks) + i, First: len(p.chunks), Wall: p.Spec.Time,
			Scratch: p.Spec.Scratch}
	}
	// Each chunk gets long and short molecules: the short ones fill the cores at its end.
	rest := p.unassigned[:0]
	for i, piece := range p.unassigned {
		at := i % (2 * all) // forth and back, so that all get as much
		if at = min(at, 2*all-1-at); at < len(chunks) {
			chunks[at].Pieces = append(chunks[at].Pieces, *piece)
		} else {
			rest = append(rest, piece)
		}
	}
	p.unassigned = rest
	cores := 1.0 // no more than are busy for most of the time
	for _, c := range chunks {
		sum := 0.0
		for _, piece := range c.Pieces {
			sum += piece.Seconds
		}
		lasts := min(longest*c.Pieces[0].Seconds, fill*c.Wall.Seconds())
		cores = max(cores, math.Ceil(float64(p.Width)*sum/lasts))
	}
	for _, c := range chunks {
		c.Cores = min(p.Spec.Cores, int(cores))
		p.Restore(c)
	}
	return chunks, nil
}

// Recall counts the submissions of earlier processes that finished no molecule, in a row. worked
// are the chunks with an outcome.
func (p *Plan) Recall(worked map[int]bool) {
	p.rounds = 0
	reruns := map[string]int{}
	for _, c := range p.chunks {
		if c.Number == c.First {
			p.rounds++
		}
		for _, piece := range c.Pieces {
			row := piece.Row
			if was, again := reruns[row.ID]; again && row.Reruns > was &&
				row.Status != csvmerge.Skip {
				p.rounds = min(p.rounds, 1) // the task before died in it
			}
			reruns[row.ID] = row.Reruns
		}
		if worked[c.Number] {
			p.rounds = 0
		}
	}
}

// Withdraw takes back the newest chunks, which Slurm did not accept.
func (p *Plan) Withdraw(chunks []*Chunk) {
	for _, c := range chunks {
		for _, piece := range c.Pieces {
			delete(p.at, piece.Row.ID)
			p.unassigned = append(p.unassigned, &piece)
		}
		delete(p.open, c.Number)
	}
	p.chunks = p.chunks[:len(p.chunks)-len(chunks)]
}

// split is how many chunks the molecules in no task make.
func (p *Plan) split() int {
	total := 0.0
	for _, piece := range p.unassigned {
		total += piece.Seconds
	}
	core := float64(p.Spec.Cores)
	most := fill * p.Spec.Time.Seconds() * core // seconds of a chunk
	least := min(most, max(shortTask.Seconds(), longest*p.unassigned[0].Seconds)*core)
	n := max(math.Ceil(total/most), min(float64(p.Spec.Tasks), math.Ceil(total/least)),
		math.Ceil(float64(len(p.unassigned))/maxPieces))
	return max(1, min(int(n), len(p.unassigned)))
}
