package batch

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// history is a random project and what is done to it: batches, with edits between them. The same
// seed gives the same history.
type history struct {
	rnd    *rand.Rand
	stages []string // blocks, with WORD where an edit changes something
	each   []bool   // has for_each
	merge  string
	table  string
	words  []int
	rows   int
}

func newHistory(seed uint64) *history {
	h := &history{rnd: rand.New(rand.NewPCG(seed, 1)), rows: 6 + int(seed%5)}
	h.table = "mol_id,note,smiles,status,reruns,charge,x0,x1,x2,x3\r\n"
	for i := range h.rows {
		h.table += fmt.Sprintf("m%02d,\"a \"\"b\"\" %d\",%s,Pending,,%d,,,,\r\n", i, i,
			strings.Repeat("C", 1+h.rnd.IntN(6)), h.rnd.IntN(4))
	}
	h.merge = "merge {\n"
	for s := range 3 + h.rnd.IntN(2) {
		h.words = append(h.words, h.rnd.IntN(100))
		h.stages = append(h.stages, h.stage(s))
		h.merge += fmt.Sprintf("  x%d = %s\n", s,
			map[bool]string{false: fmt.Sprintf("stage.s%d.value", s),
				true: fmt.Sprintf("length(stage.s%d)", s)}[h.each[s]])
	}
	h.merge += "}\n"
	return h
}

// stage is a stage that reads an earlier one and the row, and takes a moment. It fails for some
// molecules, and for some of these at the first attempts only. Its value is the same for many of
// its inputs, so that what comes after it may be cut off.
func (h *history) stage(s int) string {
	input := "mol.smiles"
	if s > 0 {
		from := h.rnd.IntN(s)
		input = fmt.Sprintf("stage.s%d%s.out", from, map[bool]string{true: "[0]"}[h.each[from]])
	}
	fails := []string{"false", "mol.charge == 3", fmt.Sprintf("attempt < mol.charge - %d",
		h.rnd.IntN(3)), "mol.smiles == \"CC\""}[h.rnd.IntN(4)]
	block := fmt.Sprintf("stage \"s%d\" {\n", s)
	h.each = append(h.each, h.rnd.IntN(3) == 0)
	if h.each[s] {
		block += "  for_each = range(mol.charge + 1)\n"
		fails = "each.key == 1 && " + fails
	}
	if h.rnd.IntN(3) == 0 {
		block += "  cores = 2\n"
	}
	return block + fmt.Sprintf(`  command = ["sh", "-c", "sleep 0.00%d; [ $2 = no ] || { echo $2 >&2; exit 3; }; cat $0 2>/dev/null || echo $0; echo $1", %s, WORD, (%s) ? "bad luck" : "no"]
  outputs = { out = "stdout" }
  values  = { value = split("\n", file(output.out))[0] }
}
`, h.rnd.IntN(8), input, fails)
}

func (h *history) pipeline() string {
	text := "pipeline {\n  table = \"table.csv\"\n  max_reruns = 2\n}\nmolecule {\n  size = " +
		"[mol.charge]\n}\n"
	for s, block := range h.stages {
		text += strings.Replace(block, "WORD", fmt.Sprint(h.words[s]), 1)
	}
	return text + h.merge
}

// edit changes one thing in all of the projects.
func (h *history) edit(t *testing.T, dirs ...string) {
	kind, stage := h.rnd.IntN(6), h.rnd.IntN(len(h.stages))
	row, n := h.rnd.IntN(h.rows), h.rnd.IntN(3)
	if kind < 2 {
		h.words[stage] = n // now and then what it was before
	}
	for _, dir := range dirs {
		path, folder := filepath.Join(dir, "table.csv"), filepath.Join(dir, "artefacts",
			fmt.Sprintf("m%02d", row), fmt.Sprintf("s%d", stage))
		data, err := os.ReadFile(path)
		check(t, err)
		switch kind {
		case 2:
			check(t, os.RemoveAll(folder))
		case 3:
			if out := filepath.Join(folder, "stdout"); exists(out) {
				check(t, os.WriteFile(out, []byte("edited\n"), 0o644))
			}
		case 4:
			data = regexp.MustCompile(fmt.Sprintf(`(?m)^(m%02d,.*?),C+,`, row)).ReplaceAll(data,
				[]byte("$1,"+strings.Repeat("C", 1+n)+","))
		case 5:
			data = bytes.Replace(data, []byte(",Skip,2,"), []byte(",Pending,0,"), 1)
		}
		check(t, os.WriteFile(path, data, 0o644))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// run is a batch in a project.
func (h *history) run(t *testing.T, dir string, jobs int) *Summary {
	path := filepath.Join(dir, "pipeline.hcl")
	check(t, os.WriteFile(path, []byte(h.pipeline()), 0o644))
	columns := func(string) ([]pipeline.Column, error) {
		return []pipeline.Column{{Name: "mol_id"}, {Name: "smiles"},
			{Name: "charge", Number: true}}, nil
	}
	p, err := pipeline.Load(path, pipeline.Options{Columns: columns, Jobs: &jobs})
	var mistakes *pipeline.Errors
	if errors.As(err, &mistakes) {
		_ = mistakes.Print(os.Stderr, 0, false)
	}
	check(t, err)
	st, err := store.Open(p.Artefacts)
	check(t, err)
	table, err := csvmerge.Read(p.Table)
	check(t, err)
	b, err := New(t.Context(), Config{Pipeline: p, Source: table, Table: table, Store: st,
		Index: st.Index(), Warn: io.Discard})
	check(t, err)
	sum, err := b.Run(t.Context())
	check(t, err)
	return sum
}

// state is all that a project has come to, but for times: the table, each file, each record.
func state(t *testing.T, dir string) string {
	var out strings.Builder
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains([]string{"pipeline.hcl", store.JournalName,
			store.LockName, store.TablesName, ".index"}, d.Name()) {
			return err
		}
		data, err := os.ReadFile(path)
		if d.Type() == fs.ModeSymlink { // an input of a failed target, which may be gone
			var link string
			link, err = os.Readlink(path)
			data = []byte(link)
		}
		check(t, err)
		if data = measured.ReplaceAll(data, nil); d.Name() == "table.csv" {
			data = []byte(withoutTimes(t, data))
		}
		fmt.Fprintf(&out, "%s\n%s\n", path, data)
		return nil
	}))
	return strings.ReplaceAll(out.String(), dir, "")
}

// measured is what two runs of one target never have in common, with the checksum of the line that
// has it.
var measured = regexp.MustCompile(
	`"(sum|batch|batch_id|time|timestamp_started|timestamp_completed|started|finished|seconds|cpu_seconds|max_rss)":("[^"]*"|[^,}]*)`)

func withoutTimes(t *testing.T, table []byte) string {
	records, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	check(t, err)
	var out strings.Builder
	for _, r := range records {
		for i, name := range records[0] {
			if name != "batch_id" && !strings.HasPrefix(name, "timestamp_") {
				out.WriteString(r[i] + ",")
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

var replay = flag.Uint64("seed", 0, "of the history that TestParallel replays; 0: new ones")

// Whatever is done, molecules side by side come to what they come to one after the other: go test
// -run TestParallel -seed=N replays a history.
func TestParallel(t *testing.T) {
	first, histories := *replay, uint64(1)
	if first == 0 {
		first, histories = uint64(time.Now().UnixNano()), 6
	}
	for seed := first; seed < first+histories; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(seed)
			one, many := t.TempDir(), t.TempDir()
			for _, dir := range []string{one, many} {
				check(t, os.WriteFile(filepath.Join(dir, "table.csv"), []byte(h.table), 0o644))
			}
			for n := range 5 {
				jobs := 2 + h.rnd.IntN(7)
				a, b := h.run(t, one, 1), h.run(t, many, jobs)
				// which molecules are looked at besides depends on how young their files are
				if !maps.Equal(a.Targets, b.Targets) {
					t.Fatalf("batch %d with %d jobs: %s %v, with one: %s %v", n, jobs, b.Line(),
						b.Targets, a.Line(), a.Targets)
				}
				want, got := strings.Split(state(t, one), "\n"), strings.Split(state(t, many), "\n")
				for i := range want {
					if i >= len(got) || got[i] != want[i] {
						t.Fatalf("batch %d with %d jobs, line %d:\n%s\nwith one:\n%s\n%s", n, jobs,
							i, strings.Join(got[max(0, i-3):min(i+3, len(got))], "\n"),
							strings.Join(want[max(0, i-3):min(i+3, len(want))], "\n"), h.pipeline())
					}
				}
				h.edit(t, one, many)
			}
		})
	}
}
