// Conformers measures the conformer search, and prints the tables of docs/evidence/conformers.md.
// It compares with recorded runs of CREST, or measures the search of the molecules of a file of
// SMILES and names.
//
//	go run ./bench/conformers [-only=serine,glycerol] [-all] [-smi=testdata/druglike.smi]
//
// It needs xtb, mopac and a Python with RDKit, and runs everything one after the other, on one
// thread.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/stages"
)

const recorded = "stages/testdata/crest"

// The criteria, as the shipped pipeline.hcl has them.
const reach = "bond 1.30, across 1.15, across-C 1.10, shared-H 1.50"

var (
	embedWords = []string{"--seed", "61453", "--open-stereo", "lowest", "--isomers", "16",
		"--all-embeddings", "1200", "--window", "18kcal/mol", "--same",
		"0.06Å", "--few", "20 0.20Å 100kcal/mol", "--displace", "0.05Å", "--time", "300s"}
	searchWords = []string{"--bonds", reach, "--window", "6kcal/mol", "--first", "3",
		"--same", "0.125Å 0.05kcal/mol 1%", "--levels"}
)

const (
	ofIsomers = "gfn2:normal <5kcal/mol, isomers 2 <3kcal/mol; "
	tight     = "gfn2:tight <3kcal/mol, twins 0.6Å 0.2kcal/mol 5%"
	fewLevels = "gfn2:loose, same 0.20Å 0.5kcal/mol 3%, window +1kcal/mol; " + ofIsomers +
		"gfn2:normal <3kcal/mol; " + tight
	manyLevels = "gfnff:normal, same 0.20Å 0.5kcal/mol 3%, window +14kcal/mol; gfn2:point, " +
		"window +2kcal/mol; gfn2:crude <8kcal/mol, same 0.20Å 0.5kcal/mol 3%, window " +
		"+2kcal/mol, batches 20 <1.5kcal/mol; " + ofIsomers + "gfn2:normal <5kcal/mol, " +
		"batches 5 <0.5kcal/mol; gfn2:tight <1kcal/mol, twins 0.6Å 0.2kcal/mol 5%"
	// starting conformers; heavy atoms, beyond which many is enough, and fewer embeddings
	many, manySmall, large = 20, 100, 10
)

var (
	only   = flag.String("only", "", "names of molecules, with commas")
	all    = flag.Bool("all", false, "also PM7 of every conformer, to see the rank of the lowest")
	smi    = flag.String("smi", "", "measure the molecules of this file, not those of CREST's runs")
	python = flag.String("python", "/usr/bin/python3", "a Python with RDKit")
)

// cost is CPU seconds, user and system, of each of columns.
type cost [8]float64

const (
	rdkit = iota
	gfnff
	point
	first // gfn2:loose, or gfn2:crude after GFN-FF
	normal
	last
	sorting
	pm7
)

const columns = "RDKit | GFN-FF | single points | loose or crude | normal | tight | sorting | PM7"

func (c cost) search() float64 {
	return c[rdkit] + c[gfnff] + c[point] + c[first] + c[normal] + c[last] + c[sorting]
}

// result is one molecule's line of the table. crestLow are CREST's conformers within 3 kcal/mol,
// recall those of them that our search finds.
type result struct {
	name, smiles                 string
	charge, multiplicity         int
	crestCPU, crestHOF           float64
	crestCount, crestLow, recall int
	count, starts                int // conformers found, starting conformers
	hofs                         []float64
	cost                         cost
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	os.Setenv("OMP_NUM_THREADS", "1")
	os.Setenv("OPENBLAS_NUM_THREADS", "1")
	root := measure.Must(os.MkdirTemp("", "conformers"))
	defer os.RemoveAll(root)
	var done []*result
	for _, r := range readReference() {
		if *only == "" || slices.Contains(strings.Split(*only, ","), r.name) {
			log.SetPrefix(r.name + ": ")
			r.measure(filepath.Join(root, r.name))
			log.Print("done")
			done = append(done, r)
		}
	}
	if *smi == "" {
		report(done)
	}
	costs(done)
}

func readReference() (out []*result) {
	if *smi != "" {
		for line := range strings.Lines(string(measure.Must(os.ReadFile(*smi)))) {
			words := strings.Fields(line)
			out = append(out, &result{name: words[1], smiles: words[0], multiplicity: 1})
		}
		return out
	}
	rows := measure.Must(csv.NewReader(measure.Must(os.Open(recorded +
		"/reference.csv"))).ReadAll())
	for _, row := range rows[1:] {
		r := &result{name: strings.ReplaceAll(row[0], ",", "_"), smiles: row[1]}
		r.charge, r.multiplicity = measure.Must(strconv.Atoi(row[2])),
			measure.Must(strconv.Atoi(row[3]))
		r.crestCount, _ = strconv.Atoi(row[5])
		r.crestCPU, _ = strconv.ParseFloat(row[7], 64)
		r.crestHOF = measure.Must(strconv.ParseFloat(row[11], 64))
		out = append(out, r)
	}
	return out
}

// run starts a program in dir with its output in a file, and returns its CPU seconds.
func run(ctx context.Context, dir, out string, argv ...string) (float64, error) {
	f := measure.Must(os.Create(filepath.Join(dir, out)))
	defer f.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, f, f
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return measure.CPU(cmd), nil
}

// own is this process's CPU time so far, seconds.
func own() float64 {
	var u syscall.Rusage
	measure.Check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds()
}

func (r *result) measure(dir string) {
	ctx := context.Background()
	measure.Check(os.MkdirAll(dir, 0o755))
	embed := measure.Must(filepath.Abs("stages/embed.py"))
	embeddings := "300"
	if *stages.HeavyAtoms(r.smiles) <= large {
		embeddings = "400"
	}
	words := slices.Concat([]string{*python, "-I", embed, "--smiles", r.smiles,
		"--charge", strconv.Itoa(r.charge), "--multiplicity", strconv.Itoa(r.multiplicity),
		"--embeddings", embeddings}, embedWords)
	r.cost[rdkit] = measure.Must(run(ctx, dir, "embed.out", words...))
	r.search(ctx, dir)
	conformers := measure.Must(stages.ReadXYZ(filepath.Join(dir, "conformers.xyz")))
	r.count = len(conformers)
	if *smi != "" { // PM7 of large molecules has more to it: a batch measures that
		return
	}
	if !*all {
		conformers = conformers[:min(3, len(conformers))]
	}
	for i, f := range conformers {
		hof, cpu := r.pm7(ctx, filepath.Join(dir, "pm7."+strconv.Itoa(i+1)), f)
		r.hofs = append(r.hofs, hof)
		r.cost[pm7] += cpu
	}
	r.compare(dir)
}

// search runs the built-in command and notes where its time goes.
func (r *result) search(ctx context.Context, dir string) {
	account := measure.Must(os.Create(filepath.Join(dir, "conformers.out")))
	defer account.Close()
	before := own()
	starts := filepath.Join(dir, "pool.xyz")
	pool := measure.Must(stages.ReadXYZ(starts))
	r.starts = len(pool)
	levels := fewLevels
	heavy := slices.DeleteFunc(slices.Clone(pool[0].Symbols),
		func(s string) bool { return s == "H" })
	if r.starts > manySmall || r.starts > many && len(heavy) > large {
		levels = manyLevels
	}
	w := stages.Work{
		Dir: dir,
		Log: account,
		Args: slices.Concat([]string{starts, "--molecule", filepath.Join(dir, "molecule.json"),
			"--chrg", strconv.Itoa(r.charge), "--uhf", strconv.Itoa(r.multiplicity - 1)},
			searchWords, []string{levels}),
		Run: func(ctx context.Context, dir, log string, argv ...string) error {
			cpu, err := run(ctx, dir, log, argv...)
			switch {
			case strings.Contains(dir, "gfnff"):
				r.cost[gfnff] += cpu
			case strings.Contains(dir, "point"):
				r.cost[point] += cpu
			case strings.Contains(dir, "normal"):
				r.cost[normal] += cpu
			case strings.Contains(dir, "tight"):
				r.cost[last] += cpu
			default:
				r.cost[first] += cpu
			}
			return err
		},
		Each: func(n int, do func(int)) {
			for i := range n {
				do(i)
			}
		},
		Keep: func(string, []byte) error { return nil },
		Kept: func(string) []byte { return nil },
	}
	for _, b := range stages.Builtins() {
		if b.Name == "conformers" {
			measure.Check(b.Run(ctx, w))
		}
	}
	r.cost[sorting] = own() - before
}

// pm7 returns MOPAC's heat of formation, kcal/mol, and its CPU seconds.
func (r *result) pm7(ctx context.Context, dir string, f stages.Frame) (hof, cpu float64) {
	text := fmt.Sprintf("PM7 PRECISE AUX THREADS=1 %s\n%s\n\n%s\n",
		measure.Must(stages.MOPACState(r.charge, r.multiplicity)), r.name,
		measure.Must(stages.MOPACCartesian(f)))
	measure.Check(os.RemoveAll(dir))
	measure.Write(filepath.Join(dir, "pm7.mop"), text)
	cpu = measure.Must(run(ctx, dir, "mopac.out", "mopac", "pm7.mop"))
	found, err := stages.ReadMOPAC(filepath.Join(dir, "pm7.out"), filepath.Join(dir, "pm7.aux"),
		0.5)
	if err == nil {
		return found.HOF, cpu
	}
	// The reference took the number of a soft stop as it is. So does this, and says so.
	log.Print(err)
	m := finalHOF.FindSubmatch(measure.Must(os.ReadFile(filepath.Join(dir, "pm7.out"))))
	if m == nil {
		measure.Check(err)
	}
	return measure.Must(strconv.ParseFloat(string(m[1]), 64)), cpu
}

var finalHOF = regexp.MustCompile(`FINAL HEAT OF FORMATION =\s+(\S+) KCAL/MOL`)

// compare counts which of CREST's low conformers the search has found.
func (r *result) compare(dir string) {
	data, err := os.ReadFile(filepath.Join(recorded, r.name+".xyz"))
	if err != nil {
		packed := measure.Must(os.ReadFile(filepath.Join(recorded, r.name+".xyz.gz")))
		data = measure.Must(io.ReadAll(measure.Must(gzip.NewReader(bytes.NewReader(packed)))))
	}
	theirs := measure.Must(stages.ParseXYZ(data))
	molecule := measure.Must(stages.ReadMolecule(filepath.Join(dir, "molecule.json")))
	reach := measure.Must(stages.ParseReach(reach))
	if changes := measure.Must(molecule.BondChanges(theirs[0], theirs[0], reach)); changes != "" {
		log.Fatalf("the recorded run has its atoms in another order: %s", changes)
	}
	found := measure.Must(stages.ReadXYZ(filepath.Join(dir, "conformers.xyz")))
	matcher := stages.NewMatcher(molecule.Symbols, molecule.Bonds)
	lowest := math.Inf(1)
	for _, t := range theirs {
		if t.Energy != nil {
			lowest = min(lowest, *t.Energy)
		}
	}
	for i, t := range theirs {
		if t.Energy != nil && (*t.Energy-lowest)*627.5095 > 3 {
			continue
		}
		r.crestLow++
		same := func(o stages.Frame) bool { return matcher.RMSD(t, o, 0.25) < 0.25 }
		if slices.ContainsFunc(found, same) {
			r.recall++
		} else {
			log.Printf("CREST's conformer %d (%.2f kcal/mol) was not found", i+1,
				(*t.Energy-lowest)*627.5095)
		}
	}
}

func report(done []*result) {
	fmt.Println("| molecule | conformers | CREST | within 3 kcal/mol, found | PM7 1 | 2 | 3 | " +
		"lowest − CREST's | CPU s | CREST CPU s | ratio |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	ratios := []float64{}
	low, have := 0, 0
	for _, r := range done {
		three := append(slices.Clone(r.hofs[:min(3, len(r.hofs))]), math.NaN(), math.NaN())
		ratio := r.crestCPU / r.cost.search()
		if r.crestCPU > 0 { // CREST does nothing for two atoms
			ratios = append(ratios, ratio)
		}
		low, have = low+r.crestLow, have+r.recall
		fmt.Printf("| %s | %d | %d | %d of %d | %.3f | %s | %s | %+.3f | %.2f | %.1f | %.1f |\n",
			r.name, r.count, r.crestCount, r.recall, r.crestLow, three[0],
			measure.Cell(three[1], "%.3f"), measure.Cell(three[2], "%.3f"),
			slices.Min(r.hofs[:min(3, len(r.hofs))])-r.crestHOF, r.cost.search(), r.crestCPU, ratio)
		if *all {
			at := slices.Index(r.hofs, slices.Min(r.hofs))
			log.Printf("%s: lowest PM7 %.3f is conformer %d of %d", r.name, r.hofs[at], at+1,
				len(r.hofs))
		}
	}
	if len(ratios) > 0 {
		slices.Sort(ratios)
		fmt.Printf("\nMedian ratio %.1f, least %.1f, where CREST took any time. Recall %d of %d.\n",
			ratios[len(ratios)/2], ratios[0], have, low)
	}
}

// costs prints where the time goes, and the lowest PM7 value of the first three conformers.
func costs(done []*result) {
	fmt.Printf("\n| molecule | to start from | conformers | %s | lowest PM7 "+
		"|\n|---|---|---%s|---|\n", columns, strings.Repeat("|---", len(cost{})))
	var sum cost
	for _, r := range done {
		lowest := math.NaN()
		if len(r.hofs) > 0 {
			lowest = slices.Min(r.hofs)
		}
		fmt.Printf("| %s | %d | %d | %s | %s |\n", r.name, r.starts, r.count, r.cost,
			measure.Cell(lowest, "%.3f"))
		for i, x := range r.cost {
			sum[i] += x
		}
	}
	fmt.Printf("| all | | | %s | |\n", sum)
}

func (c cost) String() string {
	words := make([]string, len(c))
	for i, x := range c {
		words[i] = strconv.FormatFloat(x, 'f', 2, 64)
	}
	return strings.Join(words, " | ")
}
