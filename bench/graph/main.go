// Graph measures the machine alone against make, ninja and snakemake: N molecules × 5 chained
// stages that copy a small file. It measures everything from nothing, everything up to date, one
// input changed, and peak memory. Grimperium is also measured through go tool mage, without its
// index, and until its first program starts. Peers that are missing, and snakemake on large graphs,
// are left out.
//
//	go run ./bench/graph -n 1000
//	go run ./bench/graph -n 100000 -built
//
// With -built nothing is measured from nothing. Our finished build is copies of seven molecules;
// make's and snakemake's are files written in order; ninja makes its own on all cores.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"grimperium/bench/internal/measure"
)

// bench is one run.
type bench struct {
	n       int
	built   bool
	dir     string
	program string // the compiled binary
	lines   []*line
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func main() {
	b := bench{}
	flag.IntVar(&b.n, "n", 1000, "molecules")
	flag.BoolVar(&b.built, "built", false, "measure finished builds alone, which are made quickly")
	flag.Parse()
	var remove func()
	b.dir, b.program, remove = measure.Compile()
	defer remove()
	fmt.Printf("%d molecules × 5 targets; %s\n\n", b.n, measure.Machine(b.dir))
	b.grimperium()
	for _, p := range []peer{
		{writeNinja, []string{"ninja", "-j1", "--quiet"}},
		{writeMake, []string{"make", "-s"}},
		{writeSnake, []string{"snakemake", "-j1", "--quiet", "--nolock"}},
	} {
		_, err := exec.LookPath(p.argv[0])
		if err == nil && (p.argv[0] != "snakemake" || b.n <= 1000 || b.built && b.n <= 10_000) {
			b.peer(p)
		}
	}
	b.finish()
	b.lost()
	b.limits()
}

// line is one of the table; times are in seconds.
type line struct {
	name, memory string
	cold, null   float64     // cold is negative for a build that was not measured
	change       func(i int) // one input; i is below mostRounds
	run          func() float64
	changed      []float64
}

const mostRounds = 15

// measure begins a line of the table.
func (b *bench) measure(name, dir string, cold float64, change func(i int), argv ...string) {
	r := &line{name: name, cold: cold, null: settled(dir, argv...), change: change}
	r.run = func() float64 { return measure.Run(dir, argv...).Wall }
	if argv[0] != "go" { // whose memory is not that of what it starts
		r.memory = fmt.Sprint(measure.Peak(dir, argv...).Peak)
	}
	b.lines = append(b.lines, r)
}

// settled runs an up-to-date build until what is remembered of its files has settled, then returns
// the best of three, in seconds.
func settled(dir string, argv ...string) float64 {
	measure.Run(dir, argv...)
	run := func() float64 { return measure.Run(dir, argv...).Wall }
	return min(run(), run(), run())
}

// finish changes one input in each of the builds, and prints the table. The builds take turns,
// because the speed of the machine and its disk varies.
func (b *bench) finish() {
	for k := range mostRounds {
		for _, r := range b.lines {
			if k < 1 || k < 5 && r.null < 10 || r.null < 1 { // a slow build less often
				r.change(k)
				r.changed = append(r.changed, r.run())
			}
		}
	}
	fmt.Println("| | from nothing, ms a target | up to date, s | one input changed, s | peak " +
		"memory, MB |\n|---|---|---|---|---|")
	for _, r := range b.lines {
		slices.Sort(r.changed)
		from := "–"
		if r.cold > 0 {
			from = fmt.Sprintf("%.2f", r.cold*1000/float64(5*b.n))
		}
		fmt.Printf("| %s | %s | %.3f | %.3f | %s |\n", r.name, from, r.null,
			r.changed[len(r.changed)/2], r.memory)
	}
}

// peer is a program that we are compared with.
type peer struct {
	write func(n int) (file, text string) // what it reads
	argv  []string
}

func (b *bench) peer(p peer) {
	name, cold := p.argv[0], -1.0
	dir := b.path(name)
	for i := range b.n {
		measure.Write(filepath.Join(dir, "in", fmt.Sprint(i)), "CCO\n")
	}
	measure.Check(os.MkdirAll(filepath.Join(dir, "out"), 0o755))
	file, text := p.write(b.n)
	measure.Write(filepath.Join(dir, file), text)
	switch {
	case !b.built:
		cold = measure.Run(dir, p.argv...).Wall
	case name == "ninja": // which keeps a log
		measure.Run(dir, name, "--quiet")
	default: // each file no older than the one that it was made from
		for s := 1; s <= 5; s++ {
			for i := range b.n {
				measure.Write(filepath.Join(dir, "out", fmt.Sprintf("%d.%d", i, s)), "CCO\n")
			}
		}
	}
	change := func(i int) { measure.Write(filepath.Join(dir, "in", fmt.Sprint(i)), "changed\n") }
	b.measure(name, dir, cold, change, p.argv...)
}

func writeNinja(n int) (file, text string) {
	var b strings.Builder
	b.WriteString("rule cp\n  command = cp $in $out\n")
	for i := range n {
		fmt.Fprintf(&b, "build out/%d.1: cp in/%d\n", i, i)
		for s := 2; s <= 5; s++ {
			fmt.Fprintf(&b, "build out/%d.%d: cp out/%d.%d\n", i, s, i, s-1)
		}
	}
	return "build.ninja", b.String()
}

func writeMake(n int) (file, text string) {
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
	return "Makefile", b.String()
}

func writeSnake(n int) (file, text string) {
	const rule = "rule s%d:\n    input: %q\n    output: \"out/{i}.%d\"\n    shell: \"cp {input} " +
		"{output}\"\n"
	text = fmt.Sprintf("rule all:\n    input: expand(\"out/{i}.5\", i=range(%d))\n", n)
	text += fmt.Sprintf(rule, 1, "in/{i}", 1)
	for s := 2; s <= 5; s++ {
		text += fmt.Sprintf(rule, s, fmt.Sprintf("out/{i}.%d", s-1), s)
	}
	return "Snakefile", text
}

// limits measures what no program can go below: looking at the files, starting the program, and
// replacing a small file durably. Each is done as often as a batch does it.
func (b *bench) limits() {
	artefacts := b.path("grimperium/artefacts/")
	files := 0
	looking := measure.Seconds(func() {
		for i := range b.n {
			for _, f := range []string{"manifest.jsonl", "s1/out", "s2/out", "s3/out", "s4/out",
				"s5/out"} {
				var st syscall.Stat_t
				if syscall.Lstat(artefacts+"/"+measure.ID(i)+"/"+f, &st) == nil {
					files++
				}
			}
		}
	})
	reading := measure.Seconds(func() {
		for i := range b.n {
			measure.Must(os.ReadFile(artefacts + "/" + measure.ID(i) + "/manifest.jsonl"))
		}
	})
	const starts = 300
	cp := measure.Must(exec.LookPath("cp"))
	starting := measure.Seconds(func() {
		for i := range starts {
			to := b.path(fmt.Sprint("limit", i))
			argv := []string{"cp", b.path("grimperium/pipeline.hcl"), to}
			pid := measure.Must(syscall.ForkExec(cp, argv, &syscall.ProcAttr{Env: os.Environ()}))
			measure.Must(syscall.Wait4(pid, nil, 0, nil))
		}
	})
	flushing := measure.Seconds(func() {
		for range starts {
			measure.Replace(b.path("limit"), []byte("small\n"))
		}
	})
	fmt.Printf("| limits: fork and exec of cp; lstat of the same %d files | %.2f | %.3f | | |\n",
		files, starting*1000/starts, looking)
	fmt.Printf("\nReading the logs takes %.2f s, one small file flushed and renamed %.2f ms.\n",
		reading, flushing*1000/starts)
}
