package measure

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"iter"
	"log"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// Project is a folder with a pipeline, its table and its artefacts, all by the default names.
type Project struct {
	Dir     string
	Program string // the compiled command line
}

// Compile makes a temporary folder and compiles the command line into it. remove removes the
// folder.
func Compile() (p Project, remove func()) {
	log.SetFlags(0)
	p.Dir = Must(os.MkdirTemp("", "grimperium-bench-"))
	p.Program = p.Path("grimperium")
	Check(os.Setenv("GRIMPERIUM_HOME", p.Dir))
	Run("", "go", "tool", "mage", "-compile", p.Program)
	return p, func() { Check(os.RemoveAll(p.Dir)) }
}

// Path is that of a file or folder in the project.
func (p Project) Path(name string) string { return filepath.Join(p.Dir, name) }

// Table is the path of the table.
func (p Project) Table() string { return p.Path("data/thermo_pm7.csv") }

// In is a project in a folder below.
func (p Project) In(name string) Project { return Project{p.Path(name), p.Program} }

// New is a project in a folder below with the texts of a pipeline and a table.
func (p Project) New(name, pipeline, table string) Project {
	p = p.In(name)
	Write(p.Path("pipeline.hcl"), pipeline)
	Write(p.Table(), table)
	return p
}

// Worker is the line of the shipped pipeline that keeps RDKit running between molecules.
const Worker = `  worker   = ["python3", "embed.py", "--serve"]`

// Shipped is the pipeline of this checkout, for any folder. Of the edits one text in it follows
// another, which it replaces.
func Shipped(edits ...string) string {
	const script = "stages/embed.py"
	edits = append(edits, script, Must(filepath.Abs(script)))
	text := Read("pipeline.hcl")
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			log.Fatalf("pipeline.hcl no longer has %q", edits[i])
		}
	}
	return strings.NewReplacer(edits...).Replace(text)
}

// Batch runs a batch, in which molecules may fail.
func (p Project) Batch(args ...string) Cost {
	return run(p.Dir, 1, false, append([]string{p.Program, "batch"}, args...))
}

// Started is when the last batch had looked at its molecules and at its programs.
func (p Project) Started() time.Time {
	return journal.LastStart(p.Path("artefacts/" + store.JournalName)).Time
}

// Records are the latest results, by mol_id and target.
func (p Project) Records() iter.Seq2[string, *store.Record] {
	return func(yield func(string, *store.Record) bool) {
		st := Must(store.Open(p.Path("artefacts")))
		for _, log := range Must(filepath.Glob(p.Path("artefacts/*/manifest.jsonl"))) {
			m := Must(st.Molecule(filepath.Base(filepath.Dir(log))))
			for _, target := range m.Targets() {
				if !yield(m.ID(), m.Record(target)) {
					return
				}
			}
		}
	}
}

// Seconds is the CPU time of the programs that made the results, by stage.
func (p Project) Seconds() map[string]float64 {
	seconds := map[string]float64{}
	for _, r := range p.Records() {
		seconds[store.StageOf(r.Target)] += r.CPU
	}
	return seconds
}

// HOF is the heat of formation of a result, kcal/mol at 298.15 K, NaN if it has none.
func HOF(r *store.Record) float64 {
	values := struct{ HOF *float64 }{}
	if err := json.Unmarshal(r.Values, &values); err != nil || values.HOF == nil {
		return math.NaN() // stage final has a list of this name
	}
	return *values.HOF
}

// Finish computes one molecule, and copies it. The molecules of the table must be alike. The rows
// are merged by a batch without an index, whose cost it returns.
func (p Project) Finish(molecules int) Cost {
	Run(p.Dir, p.Program, "batch", "-only="+ID(0))
	from := p.Path("artefacts/" + ID(0))
	manifest := Read(from + "/manifest.jsonl")
	// the first line alone has the molecule's name (docs/format.md)
	first, rest, _ := strings.Cut(manifest, "\n")
	first, _, _ = strings.Cut(first, `,"sum":"`)
	for n := 1; n < molecules; n++ {
		to := p.Path("artefacts/" + ID(n))
		Check(os.CopyFS(to, os.DirFS(from)))
		line := strings.Replace(first, ID(0), ID(n), 1)
		sum := crc32.ChecksumIEEE([]byte(line))
		Write(to+"/manifest.jsonl", fmt.Sprintf("%s,\"sum\":\"%08x\"}\n%s", line, sum, rest))
	}
	Write(p.Table(), Pending(molecules))
	cost := Peak(p.Dir, p.Program, "batch")
	if cost.Wall > 1+float64(molecules)/1000 {
		log.Fatalf("%s: the copies were not taken for finished", p.Dir)
	}
	return cost
}

// ID is the mol_id of a row of Pending and HalfDone.
func ID(n int) string { return fmt.Sprintf("mol_%07d", n) }

// Pending is a table of methane, to be computed.
func Pending(rows int) string {
	return table(rows, func(int) (smiles, status, results string) {
		return "C", "Pending", strings.Repeat(",", 12)
	})
}

// HalfDone is a table of which every other row is done. Each molecule is another chain of C, N and
// O.
func HalfDone(rows int) string {
	chain := strings.NewReplacer("0", "C", "1", "N", "2", "O")
	return table(rows, func(n int) (smiles, status, results string) {
		smiles = chain.Replace(strconv.FormatInt(int64(n)+1, 3)) + "CCC"
		if n%2 == 0 {
			return smiles, "OK", "20261123-000000-77,2026-11-23T00:01:00+00:00," +
				"2026-11-23T00:02:00+00:00,SUCCESS,3,12.5,OK,0.25,1.5,2.25,3.75,-19.045,"
		}
		return smiles, "Pending", strings.Repeat(",", 12)
	})
}

// table is one of format v2.1.
func table(rows int, row func(n int) (smiles, status, results string)) string {
	var b strings.Builder
	b.WriteString(strings.Join(csvmerge.Known(), ",") + "\n")
	for n := range rows {
		smiles, status, results := row(n)
		fmt.Fprintf(&b, "%s,%s,0,%s,1,0,%d,2026-11-23T00:00:00+00:00,-17.545,%s\n", ID(n), status,
			smiles, len(smiles), results)
	}
	return b.String()
}
