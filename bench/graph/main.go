// Graph measures the machine alone against make, ninja and snakemake: N molecules × 5 chained stages that copy a small file. Everything from
// nothing, everything up to date, one input changed, peak memory; ours also through go tool mage, with its index lost, and until the first program starts
// when only the last molecule is stale. All in one run, the changes by turns. Peers are installed where apt-get can; those that are not there, or would take
// too long (snakemake beyond 500), are left out.
//
//	go run ./bench/graph -n 1000
//	go run ./bench/graph -n 100000 -built
//
// With -built nothing is measured from nothing: our finished build is made by copying the artefacts of seven molecules under other names, make's and
// snakemake's by writing their files in order, ninja's by itself on all cores, which takes a quarter of an hour at 100,000. -keep names a folder where the
// peers' stay for the next run.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"grimperium/internal/cli"
)

// bench is one run.
type bench struct {
	n     int
	built bool
	keep  string
	dir   string
	mage  string // our compiled binary
	lines []*line
}

func main() {
	log.SetFlags(0)
	b := bench{}
	flag.IntVar(&b.n, "n", 1000, "molecules")
	flag.BoolVar(&b.built, "built", false, "measure nothing from nothing: the finished builds are made in quicker ways")
	flag.StringVar(&b.keep, "keep", "", "with -built, the folder where ninja's and make's finished builds stay")
	to := flag.String("profile", "", "take profiles of our batch into this folder, and nothing else")
	slow := flag.Bool("slow", false, "snakemake beyond 500 molecules too")
	flag.Parse()
	var err error
	b.dir, err = os.MkdirTemp("", "grimperium-graph-")
	check(err)
	defer os.RemoveAll(b.dir)
	os.Setenv("GRIMPERIUM_HOME", b.dir)
	b.mage = filepath.Join(b.dir, "mage")
	run("", "go", "tool", "mage", "-compile", b.mage)
	if *to != "" {
		b.profile(*to)
		return
	}
	check(cli.BenchTools(context.Background()))
	fmt.Printf("%d molecules × 5 targets; %s\n\n", b.n, machine(b.dir))
	b.ours()
	for _, peer := range []struct {
		name  string
		write func(dir string, n int)
		argv  []string
		most  int
	}{
		{"ninja", writeNinja, []string{"ninja", "-j1", "--quiet"}, 1 << 30},
		{"make", writeMake, []string{"make", "-s"}, 1 << 30},
		{"snakemake", writeSnake, []string{"snakemake", "-j1", "--quiet", "--nolock"}, 500},
	} {
		if _, err := exec.LookPath(peer.argv[0]); err != nil || (b.n > peer.most && !*slow) {
			continue
		}
		dir, cold := filepath.Join(b.dir, peer.name), -time.Second
		if b.built {
			dir = b.finished(peer.name, peer.write)
		} else {
			peer.write(dir, b.n)
			cold = run(dir, peer.argv...)
		}
		b.measure(peer.name, dir, cold, func(i int) { touch(filepath.Join(dir, "in", fmt.Sprint(i))) }, peer.argv...)
	}
	b.finish()
	b.lost()
	b.limits()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// run runs a command to a good end and returns its wall time.
func run(dir string, argv ...string) time.Duration {
	return watched(dir, func(int) {}, argv...)
}

// watched is run with a look at the process once it has been started.
func watched(dir string, look func(pid int), argv ...string) time.Duration {
	cmd := exec.CommandContext(context.Background(), argv[0], argv[1:]...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	syscall.Sync() // what others wrote, or the run before, must not be flushed by this one
	start := time.Now()
	err := cmd.Start()
	if err == nil {
		look(cmd.Process.Pid)
		err = cmd.Wait()
	}
	wall := time.Since(start)
	if err != nil {
		log.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out.Bytes()[max(0, out.Len()-2000):])
	}
	return wall
}

// peak runs a command and returns its highest memory in MB, looked at every millisecond: what the system tells of an ended process has our own memory in
// it, from the moment before its exec.
func peak(dir string, argv ...string) (most int64) {
	watched(dir, func(pid int) {
		for {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, rest, found := strings.Cut(string(status), "\nVmHWM:")
			if err != nil || !found { // it has ended
				return
			}
			var kB int64
			if _, err := fmt.Sscan(rest, &kB); err == nil {
				most = max(most, kB/1024)
			}
			time.Sleep(time.Millisecond)
		}
	}, argv...)
	return most
}

// machine describes what the figures are of: the processor, its cores, the system, the file system of a folder.
func machine(dir string) string {
	model := "an unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(data), "model name"); ok {
			model, _, _ = strings.Cut(strings.TrimLeft(rest, "\t :"), "\n")
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	var fs syscall.Statfs_t
	check(syscall.Statfs(dir, &fs))
	name, ok := map[int64]string{0xef53: "ext4", 0x58465342: "XFS", 0x9123683e: "Btrfs", 0x01021994: "tmpfs", 0x6969: "NFS", 0x794c7630: "overlayfs"}[int64(fs.Type)]
	if !ok {
		name = fmt.Sprintf("file system %#x", fs.Type)
	}
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, %s", model, runtime.NumCPU(), strings.TrimSpace(string(release)), name, runtime.Version())
}

// line is one of the table.
type line struct {
	name, memory string
	cold, null   time.Duration // cold is negative for a build that was not measured
	change       func(i int)   // one input; i is below mostRounds
	run          func() time.Duration
	changed      []time.Duration
}

const mostRounds = 15

// measure begins a line of the table.
func (b *bench) measure(name, dir string, cold time.Duration, change func(i int), argv ...string) {
	r := &line{name: name, cold: cold, null: b.settled(dir, argv...), change: change, run: func() time.Duration { return run(dir, argv...) }}
	if argv[0] != "go" { // whose memory is not that of what it starts
		r.memory = fmt.Sprint(peak(dir, argv...))
	}
	b.lines = append(b.lines, r)
}

// rounds is how often one input is changed.
func (r *line) rounds() int {
	switch {
	case r.null > 10*time.Second:
		return 1
	case r.null > time.Second:
		return 5
	}
	return mostRounds
}

// finish changes one input in each of the builds, by turns, since the machine and its disk are not always as quick, and prints the table.
func (b *bench) finish() {
	for k := range mostRounds {
		for _, r := range b.lines {
			if k < r.rounds() {
				r.change(k)
				r.changed = append(r.changed, r.run())
			}
		}
	}
	fmt.Println("| | from nothing, ms a target | up to date, s | one input changed, s | peak memory, MB |")
	fmt.Println("|---|---|---|---|---|")
	for _, r := range b.lines {
		slices.Sort(r.changed)
		from := "–"
		if r.cold > 0 {
			from = fmt.Sprintf("%.2f", r.cold.Seconds()*1000/float64(5*b.n))
		}
		fmt.Printf("| %s | %s | %.3f | %.3f | %s |\n", r.name, from, r.null.Seconds(), r.changed[len(r.changed)/2].Seconds(), r.memory)
	}
}

// settled runs an up-to-date build until what is remembered of its files has settled, then returns the best of three.
func (b bench) settled(dir string, argv ...string) time.Duration {
	run(dir, argv...)
	best := time.Hour
	for range 3 {
		best = min(best, run(dir, argv...))
	}
	return best
}

func write(path, text string) {
	check(os.MkdirAll(filepath.Dir(path), 0o755))
	check(os.WriteFile(path, []byte(text), 0o644))
}

func touch(path string) { write(path, "changed\n") }

func inputs(dir string, n int) {
	for i := range n {
		write(filepath.Join(dir, "in", fmt.Sprint(i)), "CCO\n")
	}
	check(os.MkdirAll(filepath.Join(dir, "out"), 0o755))
}

func writeNinja(dir string, n int) {
	inputs(dir, n)
	var b strings.Builder
	b.WriteString("rule cp\n  command = cp $in $out\n")
	for i := range n {
		fmt.Fprintf(&b, "build out/%d.1: cp in/%d\n", i, i)
		for s := 2; s <= 5; s++ {
			fmt.Fprintf(&b, "build out/%d.%d: cp out/%d.%d\n", i, s, i, s-1)
		}
	}
	write(filepath.Join(dir, "build.ninja"), b.String())
}

func writeMake(dir string, n int) {
	inputs(dir, n)
	var b strings.Builder
	b.WriteString("all:")
	for i := range n {
		fmt.Fprintf(&b, " out/%d.5", i)
	}
	b.WriteString("\nout/%.1: in/% ; cp $< $@\n")
	for s := 2; s <= 5; s++ {
		fmt.Fprintf(&b, "out/%%.%d: out/%%.%d ; cp $< $@\n", s, s-1)
	}
	b.WriteString(".SECONDARY:\n")
	write(filepath.Join(dir, "Makefile"), b.String())
}

func writeSnake(dir string, n int) {
	inputs(dir, n)
	text := fmt.Sprintf("rule all:\n    input: expand(\"out/{i}.5\", i=range(%d))\nrule s1:\n    input: \"in/{i}\"\n    output: \"out/{i}.1\"\n    shell: \"cp {input} {output}\"\n", n)
	for s := 2; s <= 5; s++ {
		text += fmt.Sprintf("rule s%d:\n    input: \"out/{i}.%d\"\n    output: \"out/{i}.%d\"\n    shell: \"cp {input} {output}\"\n", s, s-1, s)
	}
	write(filepath.Join(dir, "Snakefile"), text)
}

// finished makes a peer's finished build, unless an earlier run has, and returns its folder.
func (b bench) finished(name string, write func(dir string, n int)) string {
	dir := filepath.Join(b.dir, name)
	if b.keep != "" {
		dir = filepath.Join(b.keep, fmt.Sprintf("%s-%d", name, b.n))
	}
	done := filepath.Join(dir, "finished")
	if _, err := os.Stat(done); err == nil {
		return dir
	}
	write(dir, b.n)
	if name == "ninja" { // which keeps a log
		run(dir, name, "--quiet")
	} else {
		inOrder(dir, b.n)
	}
	touch(done)
	return dir
}

// inOrder writes what a finished make leaves, and is enough for snakemake: files, each no older than the one it was made from.
func inOrder(dir string, n int) {
	for s := 1; s <= 5; s++ {
		for i := range n {
			write(filepath.Join(dir, "out", fmt.Sprintf("%d.%d", i, s)), "CCO\n")
		}
	}
}

// limits measures what no program can go below, each for what ours does: looking at the files, starting the program, replacing a small file for good.
func (b bench) limits() {
	artefacts := filepath.Join(b.dir, "ours", "artefacts")
	start := time.Now()
	files := 0
	for i := range b.n {
		for _, f := range []string{"manifest.json", "s1/out", "s2/out", "s3/out", "s4/out", "s5/out"} {
			var st syscall.Stat_t
			if syscall.Lstat(fmt.Sprintf("%s/mol_%06d/%s", artefacts, i, f), &st) == nil {
				files++
			}
		}
	}
	looking := time.Since(start)
	start = time.Now()
	for i := range b.n {
		_, err := os.ReadFile(fmt.Sprintf("%s/mol_%06d/manifest.json", artefacts, i))
		check(err)
	}
	reading := time.Since(start)
	const starts = 300
	start = time.Now()
	cp, err := exec.LookPath("cp")
	check(err)
	for i := range starts {
		out := filepath.Join(b.dir, fmt.Sprint("limit", i))
		pid, err := syscall.ForkExec(cp, []string{"cp", filepath.Join(b.dir, "ours", "pipeline.hcl"), out}, &syscall.ProcAttr{Env: os.Environ()})
		check(err)
		_, err = syscall.Wait4(pid, nil, 0, nil)
		check(err)
	}
	starting := time.Since(start)
	start = time.Now()
	for range starts {
		check(renameio.WriteFile(filepath.Join(b.dir, "limit"), []byte("small\n"), 0o644, renameio.WithTempDir(b.dir)))
	}
	flushing := time.Since(start)
	fmt.Printf("| limits: fork and exec of cp; lstat of the same %d files | %.2f | %.3f | | |\n", files, starting.Seconds()*1000/starts, looking.Seconds())
	fmt.Printf("\nReading the manifests takes %.2f s, one small file written, flushed and renamed %.2f ms.\n", reading.Seconds(), flushing.Seconds()*1000/starts)
}
