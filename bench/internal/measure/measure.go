// Package measure has what the benchmarks share: projects whose batches are timed, the files that
// they read and write, and tables of figures. A failure ends the process with its message.
package measure

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// Cost is of a program or a part of one.
type Cost struct {
	Began     time.Time
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

// Time is the wall time of a function.
func Time(do func()) Cost {
	begin := time.Now()
	do()
	return Cost{Began: begin, Wall: time.Since(begin).Seconds()}
}

// Run runs a command in a folder to a good end. What earlier runs wrote is flushed first.
func Run(dir string, argv ...string) Cost { return run(dir, 0, false, argv) }

// Peak is Run with a look at the memory every millisecond. What the system says of an ended process
// has the memory of its parent in it, from the moment before its exec.
func Peak(dir string, argv ...string) Cost { return run(dir, 0, true, argv) }

// run accepts exit codes up to worst.
func run(dir string, worst int, peak bool, argv []string) (c Cost) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	syscall.Sync()
	c.Began = time.Now()
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
	c.Wall = time.Since(c.Began).Seconds()
	c.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if code := cmd.ProcessState.ExitCode(); code < 0 || code > worst {
		log.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out.Bytes()[max(0, out.Len()-2000):])
	}
	return c
}

// Read is the text of a file.
func Read(path string) string { return string(Must(os.ReadFile(path))) }

// Write writes a file, and makes its folder.
func Write(path, text string) {
	Check(os.MkdirAll(filepath.Dir(path), 0o755))
	Check(os.WriteFile(path, []byte(text), 0o644))
}

// Replace is the least that a safe write can be: a new file, flushed, renamed, and its folder
// flushed.
func Replace(path, text string) {
	f := Must(os.Create(path + ".new"))
	Must(f.WriteString(text))
	Check(f.Sync())
	Check(f.Close())
	Check(os.Rename(path+".new", path))
	d := Must(os.Open(filepath.Dir(path)))
	Check(d.Sync())
	Check(d.Close())
}

// ReadCSV returns the rows of a file by column name.
func ReadCSV(path string) (rows []map[string]string) {
	records := Must(csv.NewReader(strings.NewReader(Read(path))).ReadAll())
	for _, r := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = r[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// Number is the number in a cell, NaN if it has none.
func Number(cell string) float64 {
	if x, err := strconv.ParseFloat(cell, 64); err == nil {
		return x
	}
	return math.NaN()
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

// Head begins a table.
func Head(columns ...string) {
	fmt.Printf("\n| %s |\n%s|\n", strings.Join(columns, " | "),
		strings.Repeat("|---", len(columns)))
}

// Cell is a number for a reader, blank for NaN.
func Cell(x float64, format string) string {
	if math.IsNaN(x) {
		return ""
	}
	return fmt.Sprintf(format, x)
}

// Median sorts measurements, and returns the one in the middle.
func Median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// Spread is the median of measurements, with the least and the most of them.
func Spread(format string, x []float64) string {
	return fmt.Sprintf(format+" ("+format+" to "+format+")", Median(x), x[0], x[len(x)-1])
}
