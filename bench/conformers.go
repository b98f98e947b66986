//go:build ignore

// Conformers measures the conformer search against recorded runs of CREST, and prints the tables of docs/conformers.md.
//
//	go run bench/conformers.go [-only=serine,glycerol] [-all] [-keep=FOLDER]
//
// It needs xtb, mopac and a Python with RDKit, and runs everything one after the other, on one thread.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
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

	"grimperium/stages"
)

const recorded = "stages/testdata/crest"

var (
	only   = flag.String("only", "", "names of molecules, with commas")
	all    = flag.Bool("all", false, "also PM7 of every conformer, to see the rank of the lowest")
	keep   = flag.String("keep", "", "folder for the files; a temporary one that is removed otherwise")
	python = flag.String("python", "/usr/bin/python3", "a Python with RDKit")
)

// cost is CPU seconds, user and system.
type cost struct{ rdkit, loose, normal, tight, sorting, pm7 float64 }

func (c cost) search() float64 { return c.rdkit + c.loose + c.normal + c.tight + c.sorting }

// result is one molecule's line of the table.
type result struct {
	name, smiles                 string
	charge, multiplicity         int
	crestCPU, crestHOF           float64
	crestCount, crestLow, recall int // conformers, those within 3 kcal/mol, and how many of these we have
	count, pool                  int
	hofs                         []float64
	cost                         cost
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	os.Setenv("OMP_NUM_THREADS", "1")
	os.Setenv("OPENBLAS_NUM_THREADS", "1")
	root := *keep
	if root == "" {
		var err error
		if root, err = os.MkdirTemp("", "conformers"); err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(root)
	}
	molecules, err := readReference()
	if err != nil {
		log.Fatal(err)
	}
	var done []*result
	for _, r := range molecules {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), r.name) {
			continue
		}
		if err := r.measure(filepath.Join(root, r.name)); err != nil {
			log.Fatalf("%s: %v", r.name, err)
		}
		fmt.Fprintln(os.Stderr, r.name, "done")
		done = append(done, r)
	}
	report(done)
}

func readReference() ([]*result, error) {
	f, err := os.Open(recorded + "/reference.csv")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var out []*result
	for _, row := range rows[1:] {
		r := &result{name: strings.ReplaceAll(row[0], ",", "_"), smiles: row[1]}
		r.charge, _ = strconv.Atoi(row[2])
		r.multiplicity, _ = strconv.Atoi(row[3])
		r.crestCount, _ = strconv.Atoi(row[5])
		r.crestCPU, _ = strconv.ParseFloat(row[7], 64)
		if r.crestHOF, err = strconv.ParseFloat(row[11], 64); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// run starts a program in dir with its output in a file, and returns its CPU seconds.
func run(ctx context.Context, dir, out string, argv ...string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, out))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, f, f
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	if cmd.ProcessState == nil {
		return 0, err
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), err
}

// own is this process's CPU time so far, s.
func own() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds()
}

func (r *result) measure(dir string) (err error) {
	ctx := context.Background()
	embed, err := filepath.Abs("stages/embed.py")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if r.cost.rdkit, err = run(ctx, dir, "embed.out", *python, "-I", embed, "--smiles", r.smiles, "--charge", strconv.Itoa(r.charge),
		"--multiplicity", strconv.Itoa(r.multiplicity)); err != nil {
		return err
	}
	if err := r.search(ctx, dir); err != nil {
		return err
	}
	conformers, err := stages.ReadXYZ(filepath.Join(dir, "conformers.xyz"))
	if err != nil {
		return err
	}
	r.count = len(conformers)
	if !*all {
		conformers = conformers[:min(3, len(conformers))]
	}
	for i, f := range conformers {
		hof, cpu, err := r.pm7(ctx, filepath.Join(dir, "pm7."+strconv.Itoa(i+1)), f)
		if err != nil {
			return fmt.Errorf("conformer %d: %w", i+1, err)
		}
		r.hofs = append(r.hofs, hof)
		r.cost.pm7 += cpu
	}
	return r.compare(dir)
}

// search runs the built-in command and notes where its time goes.
func (r *result) search(ctx context.Context, dir string) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	account, err := os.Create(filepath.Join(dir, "conformers.out"))
	if err != nil {
		return err
	}
	defer account.Close()
	before := own()
	w := stages.Work{
		Dir: absolute,
		Log: account,
		Args: []string{filepath.Join(absolute, "pool.xyz"), "--molecule", filepath.Join(absolute, "molecule.mol"), "--charge", strconv.Itoa(r.charge),
			"--uhf", strconv.Itoa(r.multiplicity - 1), "--window", "6"},
		Run: func(ctx context.Context, dir, log string, argv ...string) error {
			cpu, err := run(ctx, dir, log, argv...)
			switch {
			case strings.Contains(dir, "xtb.loose"):
				r.cost.loose += cpu
			case strings.Contains(dir, "xtb.normal"):
				r.cost.normal += cpu
			default:
				r.cost.tight += cpu
			}
			return err
		},
	}
	for _, b := range stages.Builtins() {
		if b.Name == "conformers" {
			err = b.Run(ctx, w)
		}
	}
	r.cost.sorting = own() - before
	if err != nil {
		return err
	}
	pool, err := stages.ReadXYZ(filepath.Join(dir, "pool.xyz"))
	r.pool = len(pool)
	return err
}

// pm7 returns MOPAC's heat of formation, kcal/mol.
func (r *result) pm7(ctx context.Context, dir string, f stages.Frame) (hof, cpu float64, err error) {
	state, err1 := stages.MOPACState(r.charge, r.multiplicity)
	geometry, err2 := stages.MOPACCartesian(f)
	if err := errors.Join(err1, err2, os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return 0, 0, err
	}
	deck := "PM7 PRECISE AUX THREADS=1 " + state + "\n" + r.name + "\n\n" + geometry + "\n"
	if err := os.WriteFile(filepath.Join(dir, "pm7.mop"), []byte(deck), 0o644); err != nil {
		return 0, 0, err
	}
	if cpu, err = run(ctx, dir, "mopac.out", "mopac", "pm7.mop"); err != nil {
		return 0, 0, err
	}
	found, err := stages.ReadMOPAC(filepath.Join(dir, "pm7.out"), filepath.Join(dir, "pm7.aux"))
	if err == nil {
		return found.HOF, cpu, nil
	}
	// The reference took the number of a soft stop as it is; so it is taken here, and said.
	text, _ := os.ReadFile(filepath.Join(dir, "pm7.out"))
	m := finalHOF.FindSubmatch(text)
	if m == nil {
		return 0, 0, err
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", r.name, err)
	hof, err = strconv.ParseFloat(string(m[1]), 64)
	return hof, cpu, err
}

var finalHOF = regexp.MustCompile(`FINAL HEAT OF FORMATION =\s+(\S+) KCAL/MOL`)

// compare counts which of CREST's low conformers are among ours.
func (r *result) compare(dir string) error {
	data, err := os.ReadFile(filepath.Join(recorded, r.name+".xyz"))
	if errors.Is(err, os.ErrNotExist) {
		data, err = os.ReadFile(filepath.Join(recorded, r.name+".xyz.gz"))
		if err == nil {
			var z *gzip.Reader
			if z, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
				data, err = io.ReadAll(z)
			}
		}
	}
	if err != nil {
		return err
	}
	theirs, err := stages.ParseXYZ(data)
	if err != nil {
		return err
	}
	mol, err := os.ReadFile(filepath.Join(dir, "molecule.mol"))
	if err != nil {
		return err
	}
	symbols, bonds, err := stages.ParseMolfile(mol)
	if err != nil {
		return err
	}
	if !slices.Equal(theirs[0].Bonds(), bonds) {
		return errors.New("the recorded run has its atoms in another order")
	}
	ours, err := stages.ReadXYZ(filepath.Join(dir, "conformers.xyz"))
	if err != nil {
		return err
	}
	matcher := stages.NewMatcher(symbols, bonds)
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
		if slices.ContainsFunc(ours, func(o stages.Frame) bool { return matcher.RMSD(t, o, 0.25) < 0.25 }) {
			r.recall++
		} else {
			fmt.Fprintf(os.Stderr, "%s: CREST's conformer %d (%.2f kcal/mol) is not among ours\n", r.name, i+1, (*t.Energy-lowest)*627.5095)
		}
	}
	return nil
}

func report(done []*result) {
	fmt.Println("| molecule | conformers | CREST | within 3 kcal/mol, found | PM7 1 | 2 | 3 | lowest − CREST's | CPU s | CREST CPU s | ratio |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	var ratios []float64
	low, have := 0, 0
	for _, r := range done {
		three := append(slices.Clone(r.hofs[:min(3, len(r.hofs))]), math.NaN(), math.NaN())
		ratio := r.crestCPU / r.cost.search()
		if r.crestCPU > 0 { // CREST does nothing for two atoms
			ratios = append(ratios, ratio)
		}
		low, have = low+r.crestLow, have+r.recall
		fmt.Printf("| %s | %d | %d | %d of %d | %.3f | %s | %s | %+.3f | %.2f | %.1f | %.1f |\n", r.name, r.count, r.crestCount, r.recall, r.crestLow,
			three[0], number(three[1]), number(three[2]), slices.Min(r.hofs[:min(3, len(r.hofs))])-r.crestHOF, r.cost.search(), r.crestCPU, ratio)
		if *all {
			at := slices.Index(r.hofs, slices.Min(r.hofs))
			fmt.Fprintf(os.Stderr, "%s: lowest PM7 %.3f is conformer %d of %d\n", r.name, r.hofs[at], at+1, len(r.hofs))
		}
	}
	slices.Sort(ratios)
	if len(ratios) == 0 {
		ratios = []float64{math.NaN()}
	}
	fmt.Printf("\nMedian ratio %.1f, least %.1f, where CREST took any time. Recall %d of %d.\n\n", ratios[len(ratios)/2], ratios[0], have, low)
	fmt.Println("| molecule | pool | RDKit | xTB loose | normal | tight | sorting | PM7 |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	var sum cost
	for _, r := range done {
		c := r.cost
		fmt.Printf("| %s | %d | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", r.name, r.pool, c.rdkit, c.loose, c.normal, c.tight, c.sorting, c.pm7)
		sum.rdkit, sum.loose, sum.normal = sum.rdkit+c.rdkit, sum.loose+c.loose, sum.normal+c.normal
		sum.tight, sum.sorting, sum.pm7 = sum.tight+c.tight, sum.sorting+c.sorting, sum.pm7+c.pm7
	}
	fmt.Printf("| all | | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", sum.rdkit, sum.loose, sum.normal, sum.tight, sum.sorting, sum.pm7)
}

func number(x float64) string {
	if math.IsNaN(x) {
		return ""
	}
	return strconv.FormatFloat(x, 'f', 3, 64)
}
