// Table measures the table against pandas and against the disk: a row merged, the first read, the
// validation, and all rows merged again. It also measures a CSV table against SQLite and
// PostgreSQL. The programs take turns, and the best of the rounds counts. It needs Debian's pandas,
// and PostgreSQL for the part kinds: apt-get install python3-pandas postgresql.
//
//	go run ./bench/table
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"grimperium/bench/internal/measure"
	"grimperium/csvmerge"
)

// script does for each line of its input what a home-made script does. It answers with the wall
// time and CPU time in seconds, and its peak memory in MB.
const script = `
import os, resource, sys, time
import pandas
for line in sys.stdin:
    path, mol = line.split()
    start, cpu = time.perf_counter(), time.process_time()
    table = pandas.read_csv(path)
    if mol != "-":
        table.loc[table.mol_id == mol, ["status", "crest_time", "delta_1"]] = ["OK", 12.5, 1.25]
        table.to_csv(path + ".tmp", index=False)
        os.replace(path + ".tmp", path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(time.perf_counter() - start, time.process_time() - cpu, peak, flush=True)
    del table
`

// quickPipeline is of one small stage, so that a hundred thousand finished molecules are soon made.
const quickPipeline = `
stage "s1" {
  command = ["touch", "out"]
  outputs = { f = "out" }
  values  = { energy = strlen(mol.smiles) + 0.5 }
}
merge {
  delta_1         = abs(mol.H298_cbs - stage.s1.energy)
  most_stable_hof = stage.s1.energy
}
`

// readFlag has this program only read and check a table, for its time and memory.
const readFlag = "-read-and-check"

func main() {
	if len(os.Args) == 3 && os.Args[1] == readFlag {
		measure.Must(csvmerge.Read(os.Args[2])).Check()
		return
	}
	rounds := flag.Int("rounds", 5, "of each measurement; the best counts")
	parts := flag.String("parts", "merge,read,again,kinds", "what is measured")
	molecules := flag.Int("molecules", 100_000, "that are merged again")
	rows := flag.Int("rows", 1_000_000, "of the tables of the part kinds")
	quickOnes := flag.Int("quick", 10_000, "molecules of the batches of the part kinds")
	flag.Parse()
	if *parts != "kinds" && !hasPandas() {
		log.Fatal("nothing to compare with: apt-get install python3-pandas")
	}
	dir, program, remove := measure.Compile()
	defer remove()
	fmt.Println(measure.Machine(dir))
	if strings.Contains(*parts, "merge") {
		merges(dir, *rounds)
	}
	if strings.Contains(*parts, "read") {
		reads(dir, program, *rounds)
	}
	if strings.Contains(*parts, "again") {
		again(filepath.Join(dir, "again"), program, *molecules, *rounds)
	}
	if strings.Contains(*parts, "kinds") {
		kinds(dir, program, *rounds, *rows, *quickOnes)
	}
}

func hasPandas() bool {
	return exec.Command("/usr/bin/python3", "-c", "import pandas").Run() == nil
}

// pandas returns a function that has a running Python read a table, and write it with a changed row
// unless mol is "-". The start of Python is not counted.
func pandas() func(path, mol string) measure.Cost {
	cmd := exec.Command("/usr/bin/python3", "-c", script)
	in := measure.Must(cmd.StdinPipe())
	out := measure.Must(cmd.StdoutPipe())
	measure.Check(cmd.Start())
	return func(path, mol string) (c measure.Cost) {
		fmt.Fprintln(in, path, mol)
		measure.Must(fmt.Fscan(out, &c.Wall, &c.CPU, &c.Peak))
		return c
	}
}

var chain = strings.NewReplacer("0", "C", "1", "N", "2", "O")

// writeTable writes a table of format v2.1, every other row done; each molecule is another chain
// of C, N and O.
func writeTable(path string, rows int) {
	f := measure.Must(os.Create(path))
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, strings.Join(csvmerge.Known(), ","))
	for i := range rows {
		smiles := chain.Replace(strconv.FormatInt(int64(i)+1, 3)) + "CCC"
		status, results := "Pending", ",,,,,,,,,,,,"
		if i%2 == 0 {
			status, results = "OK", "20261123-000000-77,2026-11-23T00:01:00+00:00,"+
				"2026-11-23T00:02:00+00:00,SUCCESS,3,12.5,OK,0.25,1.5,2.25,3.75,-19.045,"
		}
		fmt.Fprintf(w, "mol_%07d,%s,0,%s,1,0,%d,2026-11-23T00:00:00+00:00,-17.545,%s\n", i, status,
			smiles, len(smiles), results)
	}
	measure.Check(w.Flush())
	measure.Check(f.Close())
}

// best keeps the shortest wall time.
func best(to *float64, do func()) { *to = min(cmp.Or(*to, math.Inf(1)), measure.Seconds(do)) }

// merges changes one row: in the table that a batch holds, in one that is read for it, by pandas.
// The limit is the disk's.
func merges(dir string, rounds int) {
	fmt.Println("\n| one row merged, rows | MB | in a batch, ms | read first, ms | pandas, ms | " +
		"limit, ms | pandas / batch | pandas / read first | batch / limit |\n" +
		strings.Repeat("|---", 9) + "|")
	for _, rows := range []int{1_000, 29_568, 100_000, 1_000_000} {
		path, copied := filepath.Join(dir, "merge.csv"), filepath.Join(dir, "pandas.csv")
		writeTable(path, rows)
		data := measure.Must(os.ReadFile(path))
		measure.Check(os.WriteFile(copied, data, 0o644))
		py := pandas()
		var held, cold, limit float64
		var peer measure.Cost
		for n := range rounds {
			var t *csvmerge.Table
			merge := func(k int) {
				c := csvmerge.Change{ID: fmt.Sprintf("mol_%07d", k*7919%rows),
					Cells: map[string]string{
						"status": "OK", "crest_time": "12.5", "delta_1": fmt.Sprintf("%d.25", n)}}
				if len(measure.Must(t.Merge([]csvmerge.Change{c}))) == 0 {
					log.Fatal("nothing was written")
				}
			}
			for k := range max(3, 30_000/rows) {
				best(&cold, func() {
					t = measure.Must(csvmerge.Read(path))
					merge(2 * k)
				})
				best(&limit, func() { measure.Replace(filepath.Join(dir, "limit.csv"), data) })
				best(&held, func() { merge(2*k + 1) })
				peer.Least(py(copied, fmt.Sprintf("mol_%07d", 2*k)))
			}
		}
		fmt.Printf("| %d | %.1f | %.2f | %.2f | %.0f | %.2f | %.0f | %.0f | %.2f |\n", rows,
			float64(len(data))/1e6, held*1e3, cold*1e3, peer.Wall*1e3, limit*1e3, peer.Wall/held,
			peer.Wall/cold, held/limit)
	}
}

// reads measures the first read with its check, and mage validate with the shipped pipeline.
func reads(dir, program string, rounds int) {
	path := filepath.Join(dir, "read.csv")
	writeTable(path, 1_000_000)
	self, py := measure.Must(os.Executable()), pandas()
	var ours, peer, validate measure.Cost
	var limit float64
	for range rounds {
		best(&limit, func() { measure.Must(os.ReadFile(path)) })
		ours.Least(measure.Peak(".", self, readFlag, path))
		peer.Least(py(path, "-"))
	}
	// once: RDKit reads every SMILES, for minutes
	validate.Least(measure.Peak(".", program, "validate", "-table="+path))
	fmt.Printf("\n| 1,000,000 rows, %d MB | wall, s | CPU, s | peak memory, MB | wall and CPU / "+
		"pandas |\n|---|---|---|---|---|\n",
		measure.Must(os.Stat(path)).Size()/1e6)
	fmt.Printf("| read and check, as a program | %s | %.2f, %.2f |\n| pandas.read_csv | %s | |\n",
		ours, ours.Wall/peer.Wall, ours.CPU/peer.CPU, peer)
	fmt.Printf("| mage validate | %s | |\n| limit: the bytes read | %.2f | | | |\n", validate,
		limit)
}

// again merges the rows of finished molecules into an old copy of their table. One of the molecules
// is computed; the others are copies of it.
func again(dir, program string, molecules, rounds int) {
	table := filepath.Join(dir, "data/thermo_pm7.csv")
	measure.Write(filepath.Join(dir, "pipeline.hcl"), quickPipeline)
	methane := func(int) string { return "C" }
	measure.Pending(table, 1, methane)
	measure.Run(dir, program, "batch")
	for i := 1; i < molecules; i++ {
		measure.CopyMolecule(filepath.Join(dir, "artefacts"), measure.ID(0), measure.ID(i))
	}
	measure.Pending(table, molecules, methane)
	var unindexed, all, null measure.Cost
	unindexed.Least(measure.Peak(dir, program, "batch"))
	done := measure.Must(os.ReadFile(table))
	var limit float64
	for range rounds {
		best(&limit, func() { measure.Replace(filepath.Join(dir, "limit.csv"), done) })
		measure.Pending(table, molecules, methane)
		all.Least(measure.Peak(dir, program, "batch"))
		null.Least(measure.Peak(dir, program, "batch"))
	}
	fmt.Printf("\n| %d molecules | wall, s | CPU, s | peak memory, MB |\n|---|---|---|---|\n| an "+
		"old table: all rows merged again | %s |\n| up to date after that | %s |\n| an old table "+
		"and no index | %s |\n| limit: the table written and flushed once | %.3f | | "+
		"|\n", molecules, all, null, unindexed, limit)
}
