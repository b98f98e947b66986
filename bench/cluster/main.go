// Cluster simulates a batch of a million molecules on a cluster. The decisions are those of the
// real code, cluster.Plan; molecules, tasks, their deaths and the clock are simulated. It also
// measures what the owner of the table does for so many molecules.
//
//	go run ./bench/cluster
//	go run ./bench/cluster -quick=5000
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/cluster"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
)

// times are heavy atoms and seconds of the 57 molecules of testdata/molecules.csv, one core.
const times = "bench/cluster/times.csv"

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
	most                   int     // outcomes of a look
	deciding               float64 // real seconds that the plan took
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
	fmt.Printf("%d looks, one squeue each; outcomes a look: mean %d, most %d; the plan took "+
		"%.2f s, %.1f s an hour\n", looks, *molecules/looks, s.most, s.deciding, s.deciding/hours)
	owner(*molecules, *molecules/looks, hours)
}

// fill makes molecules as the measured ones, up to a fifth longer or shorter, with another mean.
func (s *simulation) fill(molecules int, mean float64) {
	var heavy, seconds []float64
	work, weight := 0.0, 0.0
	for n, r := range measure.ReadCSV(times) {
		heavy = append(heavy, measure.Number(r["heavy"]))
		seconds = append(seconds, measure.Number(r["seconds"]))
		work, weight = work+seconds[n], weight+journal.Weight(heavy[n:])
	}
	scale := mean * float64(len(seconds)) / work
	for n := range molecules {
		i := s.random.IntN(len(heavy))
		id := measure.ID(n)
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
		var chunks []*cluster.Chunk
		var err error
		s.deciding += measure.Time(func() {
			for _, out := range outs {
				s.plan.Take(out)
			}
			s.plan.Observe(func(c *cluster.Chunk) cluster.Sight {
				if over, ended := s.over[c.Number]; ended && over <= s.now {
					return cluster.Sight{State: cluster.Over, Cause: "simulated"}
				}
				return cluster.Sight{State: cluster.Running, Fresh: true}
			})
			chunks, err = s.plan.Deal()
		}).Wall
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

// task simulates a task from its start to its end.
func (s *simulation) task(c *cluster.Chunk) {
	begin := s.now + start
	dies := s.random.ExpFloat64() / s.rate * 3600
	end := min(dies, c.Limit().Seconds())
	free := make([]float64, c.Cores) // when each core is
	queue, last := slices.Clone(c.Pieces), 0.0
	for {
		now := slices.Min(free)
		core := slices.Index(free, now)
		idle := time.Duration(now * float64(time.Second))
		i := slices.IndexFunc(queue, func(p cluster.Piece) bool { return c.Fits(p, idle) })
		if i < 0 || now >= end {
			break
		}
		row := queue[i].Row
		queue = slices.Delete(queue, i, i+1)
		free[core] += s.seconds[row.ID]
		if finished := free[core]; finished <= end {
			s.busy += s.seconds[row.ID]
			look := int((begin+finished)/poll) + 1
			s.ticks[look] = append(s.ticks[look], batch.Outcome{Row: row})
			last = max(last, finished)
		} else {
			s.lost += end - now
			last = end
		}
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
	path := filepath.Join(dir, "table.csv")
	measure.Write(path, measure.Pending(molecules))
	table := measure.Must(csvmerge.Read(path))
	var changes []csvmerge.Change
	var lines [][]byte
	for n := range outcomes {
		id := measure.ID(n * (molecules / outcomes))
		cells := map[string]string{"status": "OK", "most_stable_hof": "-121.43", "delta_1": "2.02"}
		changes = append(changes, csvmerge.Change{ID: id, Cells: cells})
		out := batch.Outcome{Row: batch.Row{ID: id, Size: []float64{7, 2}}, Status: csvmerge.OK,
			Cells: cells, Targets: make([]journal.Event, 7)}
		lines = append(lines, measure.Must(json.Marshal(out)))
	}
	read := measure.Time(func() {
		for _, line := range lines {
			measure.Check(json.Unmarshal(line, new(batch.Outcome)))
		}
	}).Wall
	wrote := measure.Time(func() { measure.Must(table.Merge(changes)) }).Wall
	looks := float64(molecules) / float64(outcomes)
	fmt.Printf("the owner: %d outcomes of %d bytes read in %.3f s, merged into %d rows by one "+
		"write in %.3f s; %.0f s an hour\n", outcomes, len(lines[0]), read, molecules, wrote,
		looks*(read+wrote)/hours)
}
