// Cluster simulates a batch of a million molecules on a cluster. The decisions are those of the
// real code, cluster.Plan; molecules, tasks, their deaths and the clock are simulated. It also
// measures what the owner of the table does for so many molecules.
//
//	go run ./bench/cluster
//	go run ./bench/cluster -quick=5000
package main

import (
	"bytes"
	"container/heap"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/cluster"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
)

// times are heavy atoms and seconds of the 57 molecules of testdata/molecules.csv, one core.
//
//go:embed times.csv
var times string

const (
	poll  = 30.0 // seconds between two looks of the watcher
	start = 5.0  // seconds until Slurm starts a task
	stale = 60.0 // seconds without a sign of life until a task is dead
)

// simulation is a batch on a cluster.
type simulation struct {
	plan    *cluster.Plan
	random  *rand.Rand
	seconds map[string]float64 // what each molecule takes
	rate    float64            // deaths of tasks an hour
	now     float64
	ticks   map[int][]batch.Outcome // by the number of the look that finds them
	over    map[int]float64         // by chunk: when its end can be known

	granted, busy, lost    float64 // core seconds
	tasks, died, submitted int
	most                   int           // outcomes of a look
	deciding               time.Duration // real time that the plan took
}

func main() {
	molecules := flag.Int("n", 1_000_000, "molecules")
	mean := flag.Float64("mean", 389, "seconds of a molecule; 389 with CREST, 3.8 without")
	wall := flag.Duration("time", 2*time.Hour, "wall time of a task")
	tasks := flag.Int("tasks", 1000, "tasks that run at once")
	rate := flag.Float64("deaths", 0.001, "of tasks, an hour")
	few := flag.Int("quick", 0, "measure so many quick molecules on a real Slurm instead")
	form := flag.String("store", "zip", "of the quick molecules: zip or folder")
	quickWall := flag.Duration("quicktime", 5*time.Minute, "wall time of their tasks")
	taught := flag.Int("taught", 100, "quick molecules that are computed here first")
	flag.Parse()
	if *few > 0 {
		quick(*few, *taught, *form, quickWall.String())
		return
	}
	s := &simulation{random: rand.New(rand.NewPCG(1, 2)), seconds: map[string]float64{},
		rate: *rate, ticks: map[int][]batch.Outcome{}, over: map[int]float64{}}
	s.plan = cluster.NewPlan(pipeline.Cluster{Cores: 16, Time: *wall, Tasks: *tasks}, 3, 1)
	s.fill(*molecules, *mean)
	looks := s.run()
	hours := s.now / 3600
	fmt.Printf("%d molecules, %.0f core hours, %d tasks of 16 cores and %v at once, %g deaths a "+
		"task and hour\n", *molecules, s.busy/3600, *tasks, *wall, *rate)
	fmt.Printf("%.2f h; %d tasks in %d submissions, %d died\n", hours, s.tasks, s.submitted, s.died)
	fmt.Printf("idle core time %.2f %%, computed again %.3f %%\n",
		100*(s.granted-s.busy-s.lost)/s.granted, 100*s.lost/s.busy)
	fmt.Printf("%d looks, one squeue each; outcomes a look: mean %d, most %d; the plan took %v, "+
		"%.1f s an hour\n", looks, *molecules/looks, s.most,
		s.deciding.Round(time.Millisecond), s.deciding.Seconds()/hours)
	owner(*molecules, *molecules/looks, hours)
}

// fill makes molecules as the measured ones, up to a fifth longer or shorter, with another mean.
func (s *simulation) fill(molecules int, mean float64) {
	records := measure.Must(csv.NewReader(bytes.NewBufferString(times)).ReadAll())
	var heavy, seconds []float64
	work, weight := 0.0, 0.0
	for _, r := range records {
		h, t := measure.Must(strconv.ParseFloat(r[0], 64)), measure.Must(strconv.ParseFloat(r[1],
			64))
		heavy, seconds = append(heavy, h), append(seconds, t)
		work, weight = work+t, weight+journal.Weight([]float64{h})
	}
	scale := mean * float64(len(records)) / work
	for n := range molecules {
		i := s.random.IntN(len(heavy))
		id := fmt.Sprintf("mol_%07d", n)
		s.seconds[id] = scale * seconds[i] * (0.8 + 0.4*s.random.Float64())
		size := []float64{heavy[i]}
		expected := scale * work / weight * journal.Weight(size)
		s.plan.Add(cluster.Piece{Row: batch.Row{ID: id, Size: size}, Seconds: expected})
	}
}

// run looks every half minute until all is done.
func (s *simulation) run() (looks int) {
	for ; !s.plan.Done(); looks++ {
		s.now = float64(looks) * poll
		outs := s.ticks[looks]
		delete(s.ticks, looks)
		s.most = max(s.most, len(outs))
		begin := time.Now()
		for _, out := range outs {
			s.plan.Take(out)
		}
		s.plan.Observe(func(c *cluster.Chunk) cluster.Sight {
			if over, ended := s.over[c.Number]; ended && over <= s.now {
				return cluster.Sight{State: cluster.Over, Cause: "simulated"}
			}
			return cluster.Sight{State: cluster.Running, Fresh: true}
		})
		chunks, err := s.plan.Deal()
		s.deciding += time.Since(begin)
		measure.Check(err)
		if len(chunks) > 0 {
			s.submitted++
		}
		for _, c := range chunks {
			s.task(c)
		}
	}
	return looks
}

// cores are the times when the cores of a task are free.
type cores []float64

func (c cores) Len() int           { return len(c) }
func (c cores) Less(i, j int) bool { return c[i] < c[j] }
func (c cores) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *cores) Push(any)          {}
func (c *cores) Pop() any          { return nil }

// task simulates a task from its start to its end.
func (s *simulation) task(c *cluster.Chunk) {
	begin := s.now + start
	dies := s.random.ExpFloat64() / s.rate * 3600
	end := min(dies, c.Limit().Seconds())
	free := make(cores, c.Cores)
	queue, last := c.Pieces, 0.0
	for len(queue) > 0 {
		i := 0
		idle := time.Duration(free[0] * float64(time.Second))
		for ; i < len(queue) && !c.Fits(queue[i], idle); i++ {
		}
		if i == len(queue) || free[0] >= end {
			break
		}
		piece := queue[i]
		queue = append(queue[:i:i], queue[i+1:]...)
		takes := s.seconds[piece.Row.ID]
		if finished := free[0] + takes; finished <= end {
			s.busy += takes
			look := int((begin+finished)/poll) + 1
			s.ticks[look] = append(s.ticks[look], batch.Outcome{Row: piece.Row})
			last = max(last, finished)
		} else {
			s.lost += end - free[0]
			last = end
		}
		free[0] += takes
		heap.Fix(&free, 0)
	}
	s.tasks++
	s.over[c.Number] = begin + last
	if last == dies {
		s.died++
		s.over[c.Number] += stale
	}
	s.granted += last * float64(c.Cores)
}

// owner measures what the owner of the table does for the outcomes of a look.
func owner(molecules, outcomes int, hours float64) {
	dir := measure.Must(os.MkdirTemp("", "grimperium-bench-"))
	defer os.RemoveAll(dir)
	var text bytes.Buffer
	text.WriteString("mol_id,smiles,charge,multiplicity,status,reruns,H298_cbs,most_stable_hof," +
		"delta_1,error_message\n")
	for n := range molecules {
		fmt.Fprintf(&text, "mol_%07d,CC(C)CC(=O)O,0,1,Pending,0,-123.45,,,\n", n)
	}
	path := filepath.Join(dir, "table.csv")
	measure.Check(os.WriteFile(path, text.Bytes(), 0o666))
	table := measure.Must(csvmerge.Read(path))
	var changes []csvmerge.Change
	var lines [][]byte
	for n := range outcomes {
		id := fmt.Sprintf("mol_%07d", n*(molecules/outcomes))
		cells := map[string]string{"status": "OK", "most_stable_hof": "-121.43", "delta_1": "2.02"}
		changes = append(changes, csvmerge.Change{ID: id, Cells: cells})
		out := batch.Outcome{Row: batch.Row{ID: id, Size: []float64{7, 2}}, Status: csvmerge.OK,
			Cells: cells, Targets: make([]journal.Event, 7)}
		lines = append(lines, measure.Must(json.Marshal(out)))
	}
	begin := time.Now()
	for _, line := range lines {
		measure.Check(json.Unmarshal(line, new(batch.Outcome)))
	}
	read := time.Since(begin)
	begin = time.Now()
	_ = measure.Must(table.Merge(changes))
	wrote := time.Since(begin)
	looks := float64(molecules) / float64(outcomes)
	fmt.Printf("the owner: %d outcomes of %d bytes read in %v, merged into %d rows by one write "+
		"in %v; %.0f s an hour\n", outcomes, len(lines[0]), read.Round(time.Millisecond), molecules,
		wrote.Round(time.Millisecond), looks*(read+wrote).Seconds()/hours)
}
