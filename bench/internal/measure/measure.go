// Package measure has what the benchmarks share: programs that are run and timed, temporary
// projects and summaries of measurements. A failure ends the process with its message.
package measure

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/crc32"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"grimperium/internal/store"
)

// Check ends the process if there is an error.
func Check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Must returns v, or ends the process if there is an error.
func Must[T any](v T, err error) T {
	Check(err)
	return v
}

// Compile makes a temporary folder and compiles the command line into it. remove removes the
// folder.
func Compile() (dir, program string, remove func()) {
	log.SetFlags(0)
	dir = Must(os.MkdirTemp("", "grimperium-bench-"))
	program = filepath.Join(dir, "grimperium")
	Check(os.Setenv("GRIMPERIUM_HOME", dir))
	Run("", "go", "tool", "mage", "-compile", program)
	return dir, program, func() { Check(os.RemoveAll(dir)) }
}

// Cost is of a program or a part of one.
type Cost struct {
	Wall, CPU float64 // seconds
	Peak      int     // memory, MB; 0 if it was not looked at
}

// Least keeps the shortest times and the highest peak.
func (c *Cost) Least(d Cost) {
	c.Wall, c.CPU = min(cmp.Or(c.Wall, d.Wall), d.Wall), min(cmp.Or(c.CPU, d.CPU), d.CPU)
	c.Peak = max(c.Peak, d.Peak)
}

// String is three cells of a table.
func (c Cost) String() string { return fmt.Sprintf("%.2f | %.2f | %d", c.Wall, c.CPU, c.Peak) }

// Run runs a command in a folder to a good end. What earlier runs wrote is flushed first.
func Run(dir string, argv ...string) Cost { return run(dir, false, argv...) }

// Peak is Run with a look at the memory every millisecond. What the system says of an ended process
// has the memory of its parent in it, from the moment before its exec.
func Peak(dir string, argv ...string) Cost { return run(dir, true, argv...) }

func run(dir string, peak bool, argv ...string) (c Cost) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	syscall.Sync()
	start := time.Now()
	Check(cmd.Start())
	for peak {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		_, rest, found := strings.Cut(string(status), "\nVmHWM:")
		if peak = found; found { // else the program has ended
			kB := 0
			_, _ = fmt.Sscan(rest, &kB)
			c.Peak = max(c.Peak, kB/1024)
			time.Sleep(time.Millisecond)
		}
	}
	err := cmd.Wait()
	c.Wall, c.CPU = time.Since(start).Seconds(), CPU(cmd)
	if err != nil {
		log.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out.Bytes()[max(0, out.Len()-2000):])
	}
	return c
}

// CPU is the CPU time of an ended command, seconds.
func CPU(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// Write writes a file, and makes its folder.
func Write(path, text string) {
	Check(os.MkdirAll(filepath.Dir(path), 0o755))
	Check(os.WriteFile(path, []byte(text), 0o644))
}

// Replace is the least that a safe write can be: a new file, flushed, renamed, and its folder
// flushed.
func Replace(path string, data []byte) {
	f := Must(os.Create(path + ".new"))
	Must(f.Write(data))
	Check(f.Sync())
	Check(f.Close())
	Check(os.Rename(path+".new", path))
	d := Must(os.Open(filepath.Dir(path)))
	Check(d.Sync())
	Check(d.Close())
}

// Pending writes a table of molecules to be computed.
func Pending(path string, rows int, smiles func(n int) string) {
	var b strings.Builder
	b.WriteString("mol_id,status,reruns,smiles,multiplicity,charge,H298_cbs\n")
	for n := range rows {
		fmt.Fprintf(&b, "%s,Pending,0,%s,1,0,-17.5\n", ID(n), smiles(n))
	}
	Write(path, b.String())
}

// ID is the mol_id of a row of Pending.
func ID(n int) string { return fmt.Sprintf("mol_%06d", n) }

// CopyMolecule copies the finished results of a molecule under the name of another, which stands in
// the first line of the log alone (docs/format.md).
func CopyMolecule(artefacts, from, to string) {
	Check(os.CopyFS(filepath.Join(artefacts, to), os.DirFS(filepath.Join(artefacts, from))))
	path := filepath.Join(artefacts, to, "manifest.jsonl")
	first, rest, _ := strings.Cut(string(Must(os.ReadFile(path))), "\n")
	first, _, _ = strings.Cut(first, `,"sum":"`)
	first = strings.Replace(first, from, to, 1)
	sum := crc32.ChecksumIEEE([]byte(first))
	Write(path, fmt.Sprintf("%s,\"sum\":\"%08x\"}\n%s", first, sum, rest))
}

// Programs are the CPU seconds of the programs that made what is in an artefacts folder, by stage.
func Programs(artefacts string) map[string]float64 {
	st, seconds := Must(store.Open(artefacts)), map[string]float64{}
	for _, log := range Must(filepath.Glob(filepath.Join(artefacts, "*/manifest.jsonl"))) {
		m := Must(st.Molecule(filepath.Base(filepath.Dir(log))))
		for _, target := range m.Targets() {
			stage, _, _ := strings.Cut(target, "/")
			seconds[stage] += m.Record(target).CPU
		}
	}
	return seconds
}

// Machine describes what figures are of. dir is a folder of the file system.
func Machine(dir string) string {
	const script = `grep -m 1 "model name" /proc/cpuinfo | cut -d: -f2; uname -sr | cut -d. -f1,2
		df --output=fstype "$0" | tail -n 1`
	text := Must(exec.Command("sh", "-c", script, dir).Output())
	words := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Sprint(strings.Join(words, ", "), ", ", runtime.NumCPU(), " cores, ",
		runtime.Version())
}

// Seconds is the wall time of a function.
func Seconds(do func()) float64 {
	start := time.Now()
	do()
	return time.Since(start).Seconds()
}

// Cell is a number for a reader, blank for NaN.
func Cell(x float64, format string) string {
	if math.IsNaN(x) {
		return ""
	}
	return fmt.Sprintf(format, x)
}

// Spread is the median of measurements, with the least and the most of them.
func Spread(format string, x []float64) string {
	slices.Sort(x)
	return fmt.Sprintf(format+" ("+format+" to "+format+")", x[len(x)/2], x[0], x[len(x)-1])
}
