// Package crash has tests alone. They kill batches, make the disk fail under batches, and cut the
// power of a modelled disk. After each they check that nothing finished is lost or computed twice.
//
//	go test ./internal/crash                                   # the short form, some minutes
//	go test ./internal/crash -kills=1000 -states=7000 -full -timeout=0
//
// All tests use one victim, a project whose batches take a tenth of a second. It has a worker, a
// program for several instances and a stage of values alone. Its settings can be edited, and an
// edit can be taken back. The tests read logs, results and tables by docs/format.md and not by the
// code that writes them. -seed=N repeats the random choices of an earlier run, but not its
// instants.
package crash

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	kills  = flag.Int("kills", 60, "TestKills: random kills")
	states = flag.Int("states", 300, "TestPowerCut: states from which the next batch runs")
	full   = flag.Bool("full", false, "TestOperations: every kind of fault at every operation")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "random choices of an earlier run")
)

// program is the compiled command line.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "grimperium-crash-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "grimperium")
	for range 5 { // another mage may be writing its main function into the module's folder
		build := exec.Command("go", "tool", "mage", "-f", "-compile", program)
		build.Dir, build.Stderr = "../..", os.Stderr
		if err = build.Run(); err == nil {
			return m.Run()
		}
	}
	fmt.Fprintln(os.Stderr, "the command line can't be compiled:", err)
	return 1
}

const pipeline = `pipeline {
  table      = "data/table.csv"
  max_reruns = 1000
  jobs       = 3
}
variable "word" { default = "" }
variable "last" { default = "" }
variable "tag" { default = "" }
variable "broken" { default = "none" }
variable "copies" { default = "x y" }
variable "pause" { default = "0" }

stage "a" {
  file "worker.py" { source = "worker.py" }
  worker  = ["python3", "-ISB", "worker.py"]
  command = ["python3", "-ISB", "worker.py", mol.mol_id, mol.smiles, var.word,
    ignore_changes(var.pause)]
  outputs = { out = "a.txt" }
}
stage "b" {
  command = ["sort", mol.mol_id == var.broken ? "--broken" : "--", stage.a.out]
  outputs = { out = "stdout" }
  values  = { text = "${split("\n", file(output.out))[0]} ${var.tag}" }
}
stage "c" {
  for_each = split(" ", var.copies)
  command  = ["tool", stage.b.out, "copy", var.last]
  outputs  = { out = "copy" }
  compress = ["copy"]
}
stage "d" {
  values = { copies = length(stage.c) }
}
merge {
  text   = stage.b.text
  copies = stage.d.copies
  word   = var.word
  last   = var.last
  tag    = var.tag
}
`

const worker = `import json, os, sys, time

for line in sys.stdin:
    request = json.loads(line)
    mol, smiles, word, pause = request["args"][-4:]
    if mol == "m0000":
        time.sleep(float(pause))
    with open(os.path.join(request["dir"], "a.txt"), "w") as out:
        out.write(f"z\n{smiles}\n{word}\nb\n")
    print(json.dumps({"exit": 0}), flush=True)
`

const tool = "#!/bin/sh\nexec sed -n p \"$1\" > \"$2\"\n"

const (
	tableName   = "data/table.csv"
	journalName = "artefacts/journal.jsonl"
	variable    = "GRIMPERIUM_FAULT" // internal/durable
)

// settings are what a batch computes with. An edit of word makes every target stale, one of last
// the stage c, one of tag makes values be read again. The files of c don't depend on last.
type settings struct{ word, last, tag string }

// victim is a project whose batches are disturbed.
type victim struct {
	t        *testing.T
	dir, bin string
	rows     int
	extra    string // further settings of its batches
	stderr   string // of the last batch
	original [][]string
}

// newVictim makes a project, with everything in its table that a careless writer would change.
func newVictim(t *testing.T, rows int) *victim {
	v := &victim{t: t, dir: t.TempDir(), bin: t.TempDir(), rows: rows}
	v.put("pipeline.hcl", pipeline)
	v.put("worker.py", worker)
	v.must(os.WriteFile(filepath.Join(v.bin, "tool"), []byte(tool), 0o755))
	v.must(os.Mkdir(v.path("data"), 0o755))
	v.reset()
	var err error
	v.original, err = parseTable(v.read(tableName))
	v.must(err)
	return v
}

// reset makes the project as if nothing had ever been computed.
func (v *victim) reset() {
	var table strings.Builder
	table.WriteString("\ufeffmol_id,note,smiles,status,reruns,mark,H298_cbs,text,word,last,tag," +
		"copies\r\n")
	for n := range v.rows {
		fmt.Fprintf(&table, "%s,\"a, \"\"b\"\"\r\n é %d\",%s,Pending,,§,-0.50,,,,,", mol(n), n,
			smiles(n))
		if n < v.rows-1 {
			table.WriteString("\r\n")
		}
	}
	v.must(os.RemoveAll(v.path("artefacts")))
	v.put(tableName, table.String())
}

// keepAs edits how finished molecules are kept.
func (v *victim) keepAs(form string) {
	v.put("pipeline.hcl", strings.Replace(pipeline, "jobs ",
		fmt.Sprintf("store = %q\n  jobs ", form), 1))
}

func mol(n int) string    { return fmt.Sprintf("m%04d", n) }
func smiles(n int) string { return "C" + strings.Repeat("C", n%30) }

func (v *victim) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *victim) path(name string) string { return filepath.Join(v.dir, name) }

func (v *victim) put(name, text string) {
	v.t.Helper()
	v.must(os.WriteFile(v.path(name), []byte(text), 0o644))
}

// read is the content of a file of the project, nil if it is missing.
func (v *victim) read(name string) []byte {
	data, _ := os.ReadFile(v.path(name))
	return data
}

// command is a batch with these settings; env are further variables.
func (v *victim) command(s settings, env ...string) *exec.Cmd {
	set := fmt.Sprintf("-set=word=%s,last=%s,tag=%s%s", s.word, s.last, s.tag, v.extra)
	cmd := exec.Command(program, "batch", "-yes", set)
	cmd.Dir = v.dir
	cmd.Env = append(os.Environ(), "GRIMPERIUM_HOME="+filepath.Join(v.bin, "home"),
		"PATH="+v.bin+":/usr/bin:/bin:"+os.Getenv("PATH"), "LC_ALL=C", variable+"=")
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// start begins a batch. Its standard error is a file, since programs that outlive it inherit it.
func (v *victim) start(s settings, env ...string) *exec.Cmd {
	v.t.Helper()
	cmd := v.command(s, env...)
	v.stderr = filepath.Join(v.bin, "stderr")
	log, err := os.Create(v.stderr)
	v.must(err)
	defer log.Close()
	cmd.Stderr = log
	v.must(cmd.Start())
	return cmd
}

// batch runs a batch to its end and returns its exit code, -1 if a signal ended it.
func (v *victim) batch(s settings, env ...string) int {
	v.t.Helper()
	cmd := v.start(s, env...)
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// undisturbed runs a batch that must end well.
func (v *victim) undisturbed(s settings) error {
	v.t.Helper()
	if code := v.batch(s); code != 0 {
		return fmt.Errorf("an undisturbed batch ended with %d: %s", code, v.said())
	}
	return nil
}

// said is what the last batch wrote on its standard error.
func (v *victim) said() string {
	data, _ := os.ReadFile(v.stderr)
	return string(data[max(0, len(data)-2000):])
}

func parseTable(data []byte) ([][]string, error) {
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("the table: %w", err)
	}
	return rows, nil
}

// The columns of the table that the tests look at.
const (
	statusColumn = 3
	rerunsColumn = 4
	wordColumn   = 8
)

// of are the settings that a row was merged with.
func of(row []string) settings {
	return settings{row[wordColumn], row[wordColumn+1], row[wordColumn+2]}
}

// checkTable is an error if the table has other rows, or other cells in the columns of the user.
func (v *victim) checkTable() ([][]string, error) {
	rows, err := parseTable(v.read(tableName))
	if err != nil {
		return nil, err
	}
	if len(rows) != len(v.original) {
		return nil, fmt.Errorf("the table has %d lines, not %d", len(rows), len(v.original))
	}
	for n, row := range rows {
		for _, foreign := range []int{0, 1, 2, 5, 6} {
			if was := v.original[n][foreign]; row[foreign] != was {
				return nil, fmt.Errorf("line %d of the table: %q became %q", n, was, row[foreign])
			}
		}
	}
	return rows, nil
}

var changing = regexp.MustCompile(`(?m),OK,\d*,§|\d{4}-\d\d-\d\dT[0-9:+-]+|\d{8}-\d{6}-\d+`)

// comparable is a table without times, names of batches and reruns.
func comparable(table []byte) string { return changing.ReplaceAllString(string(table), "#") }

// litter is an error if a batch that ended well left temporary files or scratch folders.
func (v *victim) litter() error {
	var found []string
	for _, pattern := range []string{"artefacts/.*", "artefacts/m*/.*", "data/.*"} {
		paths, _ := filepath.Glob(v.path(pattern))
		found = append(found, paths...)
	}
	found = slices.DeleteFunc(found, func(path string) bool {
		switch name := filepath.Base(path); name {
		case ".index", ".lock", ".tables", ".history", ".table.csv.lock":
			return true
		case ".scratch":
			// a number of a process that ended may be another's by now
			entries, err := os.ReadDir(path)
			return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
				_, pid, _ := strings.Cut(e.Name(), "-")
				_, err := os.Stat("/proc/" + pid)
				return err != nil
			})
		default:
			return false
		}
	})
	if len(found) > 0 {
		return fmt.Errorf("litter: %v", found)
	}
	return nil
}

// programs are the processes that work in the artefacts folder.
func (v *victim) programs() []int {
	var out []int
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		dir, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(dir, v.path("artefacts")+"/") {
			var pid int
			if _, err := fmt.Sscanf(link, "/proc/%d/cwd", &pid); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// survivors is an error if a program outlives its batch; the guard has four seconds to end it.
func (v *victim) survivors() error {
	var left []int
	for range 200 {
		if left = v.programs(); len(left) == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("these processes outlive their batch: %v", left)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
