// Table measures the table against pandas and against the disk: a row merged, the first read, the validation, and all rows merged anew. Ours and the
// peer's take turns, and the best of the rounds counts. Needs Debian's pandas: apt-get install python3-pandas.
//
//	go run ./bench/table
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"grimperium/csvmerge"
	"grimperium/internal/cli"
)

// script does for each line of its input what a home-made script does, and answers with the wall time and CPU time in seconds and its peak memory in MB.
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
    print(time.perf_counter() - start, time.process_time() - cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
    del table
`

// pipeline is of one small stage, so that a hundred thousand finished molecules are soon made.
const pipeline = `
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

// readFlag makes this program read and check a table alone, so that its time, start included, and its peak memory are that.
const readFlag = "-read-and-check"

func main() {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == readFlag {
		must(csvmerge.Read(os.Args[2])).Check()
		return
	}
	rounds := flag.Int("rounds", 5, "of each measurement; the best counts")
	parts := flag.String("parts", "merge,read,anew", "what is measured")
	molecules := flag.Int("molecules", 100_000, "that are merged anew")
	flag.Parse()
	check(cli.BenchTools(context.Background()))
	if exec.Command("/usr/bin/python3", "-c", "import pandas").Run() != nil {
		log.Print("pandas is missing, so the table is compared with nothing: apt-get install python3-pandas")
		return
	}
	dir := must(os.MkdirTemp("", "grimperium-table-"))
	defer os.RemoveAll(dir)
	mage := filepath.Join(dir, "mage")
	run(".", "go", "tool", "mage", "-compile", mage)
	fmt.Printf("%d cores, %s\n", runtime.NumCPU(), runtime.Version())
	for _, part := range strings.Split(*parts, ",") {
		map[string]func(){"merge": func() { merges(dir, *rounds) }, "read": func() { reads(dir, mage, *rounds) }, "anew": func() { anew(dir, mage, *molecules, *rounds) }}[part]()
	}
}

func check(err error) { must(0, err) }

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// pandas returns a function that has a running Python, so that its start is not counted, read a table, and write it with a changed row unless mol is "-".
func pandas() func(path, mol string) cost {
	cmd := exec.Command("/usr/bin/python3", "-c", script)
	in := must(cmd.StdinPipe())
	out := must(cmd.StdoutPipe())
	check(cmd.Start())
	return func(path, mol string) (c cost) {
		fmt.Fprintln(in, path, mol)
		must(fmt.Fscan(out, &c.wall, &c.cpu, &c.peak))
		return c
	}
}

// writeTable writes a table of format v2.1, every other row done; each molecule is another chain of C, N and O.
func writeTable(path string, rows int) {
	f := must(os.Create(path))
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, strings.Join(csvmerge.Known(), ","))
	for i := range rows {
		smiles := strings.NewReplacer("0", "C", "1", "N", "2", "O").Replace(strconv.FormatInt(int64(i)+1, 3)) + "CCC"
		status, results := "Pending", ",,,,,,,,,,,,"
		if i%2 == 0 {
			status, results = "OK", "20261123-000000-77,2026-11-23T00:01:00+00:00,2026-11-23T00:02:00+00:00,SUCCESS,3,12.5,OK,0.25,1.5,2.25,3.75,-19.045,"
		}
		fmt.Fprintf(w, "mol_%07d,%s,0,%s,1,0,%d,2026-11-23T00:00:00+00:00,-17.545,%s\n", i, status, smiles, len(smiles), results)
	}
	check(w.Flush())
	check(f.Close())
}

// cost is of a program or a part of one: seconds, and MB.
type cost struct {
	wall, cpu float64
	peak      int
}

func (c cost) String() string { return fmt.Sprintf("%.2f | %.2f | %d", c.wall, c.cpu, c.peak) }

// least keeps the shortest times.
func (c *cost) least(d cost) {
	*c = cost{min(cmp.Or(c.wall, d.wall), d.wall), min(cmp.Or(c.cpu, d.cpu), d.cpu), max(c.peak, d.peak)}
}

// best keeps the shortest wall time.
func best(to *float64, do func()) {
	start := time.Now()
	do()
	*to = min(cmp.Or(*to, math.Inf(1)), time.Since(start).Seconds())
}

// merges changes one row: in the table that a batch holds, in one that is read for it, by pandas; the limit is the disk's.
func merges(dir string, rounds int) {
	fmt.Println("\n| one row merged, rows | MB | in a batch, ms | read first, ms | pandas, ms | limit, ms | pandas / batch | pandas / read first | batch / limit |\n|---|---|---|---|---|---|---|---|---|")
	for _, rows := range []int{1_000, 29_568, 100_000, 1_000_000} {
		path, copied := filepath.Join(dir, "merge.csv"), filepath.Join(dir, "pandas.csv")
		writeTable(path, rows)
		data := must(os.ReadFile(path))
		check(os.WriteFile(copied, data, 0o644))
		py := pandas()
		var held, cold, limit float64
		var peer cost
		for n := range rounds {
			var t *csvmerge.Table
			merge := func(k int) {
				cells := map[string]string{"status": "OK", "crest_time": "12.5", "delta_1": fmt.Sprintf("%d.25", n)}
				if !must(t.Merge([]csvmerge.Change{{ID: fmt.Sprintf("mol_%07d", k*7919%rows), Cells: cells}})) {
					log.Fatal("nothing was written")
				}
			}
			for k := range max(3, 30_000/rows) {
				best(&cold, func() {
					t = must(csvmerge.Read(path))
					merge(2 * k)
				})
				best(&limit, func() { replace(filepath.Join(dir, "limit.csv"), data) })
				best(&held, func() { merge(2*k + 1) })
				peer.least(py(copied, fmt.Sprintf("mol_%07d", 2*k)))
			}
		}
		fmt.Printf("| %d | %.1f | %.2f | %.2f | %.0f | %.2f | %.0f | %.0f | %.2f |\n", rows, float64(len(data))/1e6, held*1e3, cold*1e3, peer.wall*1e3, limit*1e3, peer.wall/held, peer.wall/cold, held/limit)
	}
}

// replace is the least that a safe write can be: a new file, flushed, renamed, and its folder flushed.
func replace(path string, data []byte) {
	check(renameio.WriteFile(path, data, 0o644, renameio.WithTempDir(filepath.Dir(path))))
	d := must(os.Open(filepath.Dir(path)))
	check(d.Sync())
	d.Close()
}

// run runs a command to a good end.
func run(dir string, argv ...string) cost {
	cmd, start := exec.Command(argv[0], argv[1:]...), time.Now()
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		log.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out[max(0, len(out)-2000):])
	}
	s := cmd.ProcessState
	return cost{time.Since(start).Seconds(), (s.UserTime() + s.SystemTime()).Seconds(), int(s.SysUsage().(*syscall.Rusage).Maxrss / 1024)}
}

// reads measures the first read with its check, and mage validate with the shipped pipeline.
func reads(dir, mage string, rounds int) {
	path := filepath.Join(dir, "read.csv")
	writeTable(path, 1_000_000)
	self, py := must(os.Executable()), pandas()
	var ours, peer, validate cost
	var limit float64
	for range rounds {
		best(&limit, func() { must(os.ReadFile(path)) })
		ours.least(run(".", self, readFlag, path))
		peer.least(py(path, "-"))
	}
	validate.least(run(".", mage, "validate", "-table="+path)) // once: RDKit reads every SMILES, for minutes
	fmt.Printf("\n| 1,000,000 rows, %d MB | wall, s | CPU, s | peak memory, MB | wall and CPU / pandas |\n|---|---|---|---|---|\n", must(os.Stat(path)).Size()/1e6)
	fmt.Printf("| read and check, as a program | %s | %.2f, %.2f |\n| pandas.read_csv | %s | |\n", ours, ours.wall/peer.wall, ours.cpu/peer.cpu, peer)
	fmt.Printf("| mage validate | %s | |\n| limit: the bytes read | %.2f | | | |\n", validate, limit)
}

// anew merges the rows of finished molecules into an old copy of their table. One of them is computed; the others are copies of it.
func anew(dir, mage string, molecules, rounds int) {
	dir = filepath.Join(dir, "anew")
	table := filepath.Join(dir, "data/thermo_pm7.csv")
	check(os.MkdirAll(filepath.Dir(table), 0o755))
	check(os.WriteFile(filepath.Join(dir, "pipeline.hcl"), []byte(pipeline), 0o644))
	old := func(rows int) {
		b := bytes.NewBufferString("mol_id,status,reruns,smiles,multiplicity,charge,nheavy,timestamp_added,H298_cbs,batch_id\n")
		for i := range rows {
			fmt.Fprintf(b, "mol_%06d,Pending,0,C,1,0,,2026-01-01T00:00:00+00:00,-17.5,\n", i)
		}
		check(os.WriteFile(table, b.Bytes(), 0o644))
	}
	old(1)
	run(dir, mage, "batch")
	manifest, _, _ := strings.Cut(string(must(os.ReadFile(filepath.Join(dir, "artefacts/mol_000000/manifest.json")))), ",\n \"sha256\"") // a copy is not sealed
	for i := 1; i < molecules; i++ {
		id := fmt.Sprintf("mol_%06d", i)
		folder := filepath.Join(dir, "artefacts", id)
		check(os.MkdirAll(filepath.Join(folder, "s1"), 0o755))
		check(os.WriteFile(filepath.Join(folder, "s1/out"), nil, 0o644))
		check(os.WriteFile(filepath.Join(folder, "manifest.json"), []byte(strings.Replace(manifest, "mol_000000", id, 1)+"\n}\n"), 0o644))
	}
	old(molecules)
	var unindexed, all, null cost
	unindexed.least(run(dir, mage, "batch"))
	done := must(os.ReadFile(table))
	var limit float64
	for range rounds {
		best(&limit, func() { replace(filepath.Join(dir, "limit.csv"), done) })
		old(molecules)
		all.least(run(dir, mage, "batch"))
		null.least(run(dir, mage, "batch"))
	}
	fmt.Printf("\n| %d molecules | wall, s | CPU, s | peak memory, MB |\n|---|---|---|---|\n", molecules)
	fmt.Printf("| an old table: all rows merged anew | %s |\n| up to date after that | %s |\n", all, null)
	fmt.Printf("| an old table and no index | %s |\n| limit: the table written and flushed once | %.3f | | |\n", unindexed, limit)
}
