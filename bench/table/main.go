// Table measures the table against pandas and against the disk: a row merged, the first read, the
// validation, and all rows merged again. It also measures a CSV table against SQLite and
// PostgreSQL. The programs take turns, and the best of the rounds counts. It needs Debian's pandas,
// and PostgreSQL for the part kinds: apt-get install python3-pandas postgresql.
//
//	go run ./bench/table
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"grimperium/bench/internal/measure"
	"grimperium/csvmerge"
)

// script does what a home-made script does: it reads a table, and gives a row of a CSV table new
// values if it is named. It prints its wall time and CPU time in seconds, and its peak memory in
// MB. The start of Python is not counted, nor what the first use of pandas loads.
const script = `
import io, os, resource, sqlite3, sys, time
import pandas
pandas.read_csv(io.StringIO("a")).to_csv()
path, mol = sys.argv[1:]
start, cpu = time.perf_counter(), time.process_time()
if path.endswith(".db"):
    table = pandas.read_sql("SELECT * FROM molecules", sqlite3.connect(path))
else:
    table = pandas.read_csv(path)
if mol:
    table.loc[table.mol_id == mol, ["status", "crest_time", "delta_1"]] = ["OK", 12.5, 1.25]
    table.to_csv(path + ".tmp", index=False)
    os.replace(path + ".tmp", path)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(time.perf_counter() - start, time.process_time() - cpu, peak)
`

const python = "/usr/bin/python3"

// pandas reads a table, and changes the row mol unless it is "".
func pandas(path, mol string) (c measure.Cost) {
	out := measure.Must(exec.Command(python, "-c", script, path, mol).Output())
	measure.Must(fmt.Sscan(string(out), &c.Wall, &c.CPU, &c.Peak))
	return c
}

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
	rows := flag.Int("rows", 1_000_000, "of the tables of the parts read and kinds")
	quickOnes := flag.Int("quick", 10_000, "molecules of the batches of the part kinds")
	flag.Parse()
	top, remove := measure.Compile()
	defer remove()
	measure.Run("", python, "-c", "import pandas")
	fmt.Println(measure.Machine(top.Dir))
	for part := range strings.SplitSeq(*parts, ",") {
		switch part {
		case "merge":
			merges(top, *rounds)
		case "read":
			reads(top, *rounds, *rows)
		case "again":
			again(top, *rounds, *molecules)
		case "kinds":
			kinds(top, *rounds, *rows, *quickOnes)
		default:
			log.Fatalf("there is no part %q", part)
		}
	}
}

// merges changes one row: in the table that a batch holds, in one that is read for it, by pandas.
// The limit is the disk's.
func merges(top measure.Project, rounds int) {
	measure.Head("one row merged, rows", "MB", "in a batch, ms", "read first, ms", "pandas, ms",
		"limit, ms", "pandas / batch", "pandas / read first", "batch / limit")
	for _, rows := range []int{1_000, 29_568, 100_000, 1_000_000} {
		path, copied := top.Path("merge.csv"), top.Path("pandas.csv")
		text := measure.HalfDone(rows)
		measure.Write(path, text)
		measure.Write(copied, text)
		var held, cold, limit, peer measure.Cost
		for n := range rounds * max(3, 30_000/rows) {
			var t *csvmerge.Table
			cold.Least(measure.Time(func() {
				t = measure.Must(csvmerge.Read(path))
				merge(t, 2*n, rows)
			}))
			limit.Least(measure.Time(func() { measure.Replace(top.Path("limit.csv"), text) }))
			held.Least(merge(t, 2*n+1, rows))
			peer.Least(pandas(copied, measure.ID(2*n%rows)))
		}
		fmt.Printf("| %d | %.1f | %.2f | %.2f | %.0f | %.2f | %.0f | %.0f | %.2f |\n", rows,
			float64(len(text))/1e6, held.Wall*1e3, cold.Wall*1e3, peer.Wall*1e3, limit.Wall*1e3,
			peer.Wall/held.Wall, peer.Wall/cold.Wall, held.Wall/limit.Wall)
	}
}

// reads measures the first read with its check, and mage validate with the shipped pipeline.
func reads(top measure.Project, rounds, rows int) {
	path, self := top.Path("read.csv"), measure.Must(os.Executable())
	text := measure.HalfDone(rows)
	measure.Write(path, text)
	var ours, peer, limit measure.Cost
	for range rounds {
		limit.Least(measure.Time(func() { measure.Read(path) }))
		ours.Least(measure.Peak("", self, readFlag, path))
		peer.Least(pandas(path, ""))
	}
	// once: RDKit reads every SMILES, for minutes
	validate := measure.Peak("", top.Program, "validate", "-table="+path)
	measure.Head(fmt.Sprintf("%d rows, %d MB", rows, len(text)/1e6), "wall, s",
		"CPU, s", "peak memory, MB", "wall and CPU / pandas")
	fmt.Printf("| read and check, as a program | %s | %.2f, %.2f |\n| pandas.read_csv | %s | |\n",
		ours, ours.Wall/peer.Wall, ours.CPU/peer.CPU, peer)
	fmt.Printf("| mage validate | %s | |\n| limit: the bytes read | %.2f | | | |\n", validate,
		limit.Wall)
}

// again merges the rows of finished molecules into an old copy of their table.
func again(top measure.Project, rounds, molecules int) {
	p := top.New("again", quickPipeline, measure.Pending(molecules))
	unindexed := p.Finish(molecules)
	done := measure.Read(p.Table())
	var all, null, limit measure.Cost
	for range rounds {
		limit.Least(measure.Time(func() { measure.Replace(p.Path("limit.csv"), done) }))
		measure.Write(p.Table(), measure.Pending(molecules))
		all.Least(measure.Peak(p.Dir, p.Program, "batch"))
		null.Least(measure.Peak(p.Dir, p.Program, "batch"))
	}
	measure.Head(fmt.Sprint(molecules, " molecules"), "wall, s", "CPU, s", "peak memory, MB")
	fmt.Printf("| an old table: all rows merged again | %s |\n| up to date after that | %s |\n"+
		"| an old table and no index | %s |\n"+
		"| limit: the table written and flushed once | %.3f | | |\n",
		all, null, unindexed, limit.Wall)
}
