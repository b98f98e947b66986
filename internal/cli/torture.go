package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"grimperium/internal/fault"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// TortureOptions say how long batches are tormented.
type TortureOptions struct {
	Kills     int   // at random instants, besides one at each fault point
	Molecules int   // rows of the table
	Seed      int64 // 0: a new one
}

// Torture kills batches of a quick pipeline of real commands at random instants and at every fault point, has the disk fail at every fault point,
// and checks after each that nothing finished is lost. In the end the table must be that of a batch that nobody disturbed.
func Torture(ctx context.Context, o TortureOptions) error {
	ctx, stop := signals(ctx)
	defer stop()
	return ended(torture(ctx, o))
}

func torture(ctx context.Context, o TortureOptions) error {
	o.Seed = cmp.Or(o.Seed, time.Now().UnixNano())
	o.Molecules = cmp.Or(o.Molecules, 200)
	dir, err := os.MkdirTemp("", "grimperium-torture-")
	if err != nil {
		return err
	}
	fmt.Printf("seed %d, in %s\n", o.Seed, dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	v := &victim{dir: dir, self: self, rnd: rand.New(rand.NewPCG(uint64(o.Seed), 1)), rows: o.Molecules, long: o.Kills >= 100, count: map[string]int{}, fired: map[string]bool{}}
	if err = v.prepare(); err == nil {
		err = v.torment(ctx, o.Kills)
	}
	fmt.Printf("%d batches: %v\n", v.batches, v.count)
	if err != nil {
		return &exit{exitFailed, fmt.Errorf("%w (what is left is in %s; -seed=%d has it happen again)", err, dir, o.Seed)}
	}
	fmt.Println("Nothing finished was lost or made twice; the table is that of an undisturbed batch.")
	return os.RemoveAll(dir)
}

func (v *victim) torment(ctx context.Context, kills int) error {
	for n := 0; v.landed < kills || len(v.missing()) > 0; n++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := v.round(n, kills); err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		if n > 3*kills+10*len(v.points()) && len(v.missing()) > 0 {
			return fmt.Errorf("these points were never passed: %v", v.missing())
		}
	}
	return v.compare()
}

// victim is a project whose batches are disturbed.
type victim struct {
	dir, self string
	rnd       *rand.Rand
	rows      int
	long      bool
	original  [][]string
	word      int             // the setting that the present phase computes with; another makes everything stale
	back      bool            // to an earlier setting: a row may be OK from then, with something to do
	words     int             // settings so far
	ok        map[string]bool // molecules whose row said OK in this phase
	edited    map[string]bool // molecules with something to do although their row says OK
	finished  map[string]bool // targets that ended well, by setting
	journal   *journal.Reader
	batches   int
	landed    int             // kills at random instants
	count     map[string]int  // of what was done
	fired     map[string]bool // faults that happened
}

const torturePipeline = `pipeline {
  table      = "table.csv"
  max_reruns = 1000
  jobs       = 6
}
variable "word" { default = "0" }
stage "a" {
  command = ["sh", "-c", "printf '%s\\n' z \"$0\" \"$1\" b", mol.smiles, var.word]
  outputs = { out = "stdout" }
}
stage "b" {
  command = ["sort", stage.a.out]
  outputs = { out = "stdout" }
  values  = { text = split("\n", file(output.out))[0] }
}
stage "c" {
  for_each = ["x", "y"]
  command  = ["cp", stage.b.out, "copy"]
  outputs  = { copy = "copy" }
  compress = ["copy"]
}
merge {
  text   = stage.b.text
  copies = length(stage.c)
}
`

// prepare writes the pipeline, and a table with everything in it that a careless writer would change.
func (v *victim) prepare() error {
	var table bytes.Buffer
	table.WriteString("\ufeffmol_id,note,smiles,status,reruns,mark,H298_cbs,text,copies\r\n")
	for n := range v.rows {
		fmt.Fprintf(&table, "m%04d,\"a, \"\"b\"\"\r\n é %d\",C%s,Pending,,§,-0.50,,", n, n, strings.Repeat("C", n%30))
		if n < v.rows-1 {
			table.WriteString("\r\n")
		}
	}
	for name, data := range map[string]string{"pipeline.hcl": torturePipeline, "table.csv": table.String(), "start.csv": table.String()} {
		if err := os.WriteFile(filepath.Join(v.dir, name), []byte(data), 0o644); err != nil {
			return err
		}
	}
	v.ok, v.edited, v.finished = map[string]bool{}, map[string]bool{}, map[string]bool{}
	v.journal = journal.Open(v.path("artefacts", store.JournalName))
	var err error
	v.original, err = v.read("start.csv")
	return err
}

func (v *victim) path(name ...string) string {
	return filepath.Join(append([]string{v.dir}, name...)...)
}

// read parses the table as a stranger does.
func (v *victim) read(name string) ([][]string, error) {
	data, err := os.ReadFile(v.path(name))
	if err != nil {
		return nil, err
	}
	return csv.NewReader(bytes.NewReader(data)).ReadAll()
}

// points are all faults that must have happened once: at each point a kill and an error, EIO or ENOSPC, in a short run, and both in a long one.
func (v *victim) points() []string {
	var out []string
	for _, s := range fault.Steps {
		before, after := fault.Before(s), fault.After(s)
		out = append(out, before, after, before+" ENOSPC", after+" EIO")
		if v.long {
			out = append(out, before+" EIO", after+" ENOSPC")
		}
	}
	return out
}

func (v *victim) missing() []string {
	var out []string
	for _, p := range v.points() {
		if !v.fired[p] {
			out = append(out, p)
		}
	}
	return out
}

// round disturbs one batch and checks what it left.
func (v *victim) round(n, kills int) error {
	if len(v.ok)+len(v.edited) == v.rows || v.rnd.IntN(8) == 0 {
		v.newPhase()
	}
	if v.rnd.IntN(3) == 0 {
		v.damage()
	}
	left := v.missing()
	var err error
	if len(left) == 0 || (v.landed < kills && n%2 == 0) {
		err = v.killed()
	} else {
		err = v.faulted(left[v.rnd.IntN(len(left))])
	}
	return errors.Join(err, v.check())
}

// newPhase changes a setting, so that every target is stale, or takes the last change back.
func (v *victim) newPhase() {
	if v.back = v.words > 0 && v.rnd.IntN(4) == 0; v.back {
		v.word ^= 1 // two settings that belong together
	} else {
		v.words += 2
		v.word = v.words
	}
	clear(v.ok)
	clear(v.edited)
	v.count["settings"]++
}

// damage edits a result by hand, or loses the index: both must be repaired, and nothing else be done.
func (v *victim) damage() {
	id := fmt.Sprintf("m%04d", v.rnd.IntN(v.rows))
	switch v.rnd.IntN(3) {
	case 0:
		_ = os.Remove(v.path("artefacts", store.IndexName))
	default:
		v.edit(id)
	}
	v.count["damages"]++
}

// edit writes to a result by hand.
func (v *victim) edit(id string) {
	if os.WriteFile(v.path("artefacts", id, "a", "stdout"), []byte("edited\n"), 0o644) != nil {
		return
	}
	_ = os.RemoveAll(v.path("artefacts", id, ".history")) // so that it is computed, not brought back
	v.lost(id)
}

// lost says that a molecule's targets are to be computed again.
func (v *victim) lost(id string) {
	delete(v.ok, id)
	v.edited[id] = true
	for target := range v.finished {
		if strings.HasPrefix(target, id+"/") {
			delete(v.finished, target)
		}
	}
}

// start begins a batch in a process group of its own.
func (v *victim) start(env ...string) (*exec.Cmd, error) {
	v.batches++
	cmd := exec.Command(v.self, "batch", fmt.Sprintf("-set=word=%d", v.word))
	cmd.Dir = v.dir
	cmd.Env = append(os.Environ(), append([]string{"GRIMPERIUM_HOME=" + v.path("home"), fault.Variable + "="}, env...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(v.path("stderr"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log // a file: nobody waits for those who inherit it
	return cmd, cmd.Start()
}

// killed kills the batch, its group or its children at a random instant, or asks it to stop.
func (v *victim) killed() error {
	cmd, err := v.start()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	how := []string{"SIGKILL", "SIGKILL", "SIGKILL to the group", "children killed", "SIGTERM"}[v.rnd.IntN(5)]
	time.Sleep(time.Duration(v.rnd.Int64N(int64(250 * time.Millisecond))))
	pid := cmd.Process.Pid
	switch how {
	case "SIGKILL":
		_ = syscall.Kill(pid, syscall.SIGKILL)
	case "SIGKILL to the group":
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	case "children killed":
		for range 3 {
			for _, child := range v.programs() {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
			time.Sleep(5 * time.Millisecond)
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
	case "SIGTERM":
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	select {
	case err = <-done:
	case <-time.After(10 * time.Second):
		return fmt.Errorf("after %s the batch did not end", how)
	}
	if code := cmd.ProcessState.ExitCode(); how == "SIGTERM" && code != 0 && code != exitInterrupted && code != -1 { // -1: before it could listen
		return fmt.Errorf("after SIGTERM the batch ended with %d: %s", code, v.said())
	}
	if err == nil {
		how = "ended before"
	} else {
		v.landed++
	}
	v.count[how]++
	return nil
}

func (v *victim) said() string {
	data, _ := os.ReadFile(v.path("stderr"))
	return string(data)
}

// faulted runs a batch that is killed, or that the disk fails, at a point: the first time that it is passed or later.
func (v *victim) faulted(point string) error {
	name, kind, _ := strings.Cut(point, " ")
	passing, err := v.ready(name)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s:%d", name, passing)
	if kind != "" {
		text += ":" + kind + "+"
	}
	cmd, err := v.start(fault.Variable + "=" + text)
	if err != nil {
		return err
	}
	err = cmd.Wait()
	said := v.said()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case kind == "" && status.Signaled():
		v.count["killed at points"]++
	case kind != "" && strings.Contains(said, "staged fault"):
		v.count["errors at points"]++
		if code := cmd.ProcessState.ExitCode(); code != exitMistake {
			return fmt.Errorf("after %s the batch ended with %d: %s", text, code, said)
		}
	case kind != "" && strings.HasPrefix(name, "store.flushAll"): // flushes each file instead
	case err != nil && cmd.ProcessState.ExitCode() != exitFailed:
		return fmt.Errorf("%s: %v: %s", text, err, said)
	default:
		v.count["points not passed"]++
		return nil
	}
	v.fired[point] = true
	return nil
}

// ready brings the project into a state in which the next batch passes the point, and says at which passing the fault should come.
func (v *victim) ready(point string) (passing int, err error) {
	step, _, _ := strings.Cut(point, ".before")
	step, _, _ = strings.Cut(step, ".after")
	v.newPhase()
	switch step {
	case "batch.deaths":
		return 1, v.undisturbed(fault.Variable + "=" + fault.After("store.scratch") + ":1")
	case "index.replace":
		_ = os.Remove(v.path("artefacts", store.IndexName))
		return 1, nil
	case "store.aside", "store.clear", "store.flush": // one molecule has something to do: its files are flushed one by one
		err = errors.Join(v.undisturbed(), v.twice())
		v.edit("m0000")
		if step == "store.flush" {
			return 2, err // the first is the artefacts folder
		}
		return 1, err
	case "store.write", "store.manifest": // a molecule has no manifest yet
		v.lost("m0000")
		return 1, os.RemoveAll(v.path("artefacts", "m0000"))
	case "store.forget": // an edit is taken back
		if err = errors.Join(v.undisturbed(), v.twice()); err == nil {
			v.word ^= 1
			err = errors.Join(v.undisturbed(), v.twice())
			v.word ^= 1
		}
		return 1 + v.rnd.IntN(v.rows/2), err
	case "csvmerge.write", "csvmerge.flush", "csvmerge.replace", "csvmerge.folder", "store.flushAll", "index.line":
		return 1, nil
	}
	return 1 + v.rnd.IntN(v.rows/2), nil
}

// undisturbed runs a batch to its end, or to a fault.
func (v *victim) undisturbed(env ...string) error {
	cmd, err := v.start(env...)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil && (env == nil || cmd.ProcessState.ExitCode() != -1) {
		return fmt.Errorf("a batch that nobody disturbed: %w: %s", err, v.said())
	}
	return nil
}
