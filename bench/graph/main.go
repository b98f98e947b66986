// Graph measures the machine alone against make, ninja and snakemake: N molecules × 5 chained
// stages that copy a small file. It measures everything from nothing, everything up to date, one
// input changed, and peak memory. Grimperium is also measured through go tool mage, without its
// index, and until its first program starts. Peers that are missing, and snakemake on large graphs,
// are left out.
//
//	go run ./bench/graph -n 1000
//	go run ./bench/graph -n 100000 -built
//
// With -built nothing is measured from nothing. Our finished build is copies of one molecule;
// make's and snakemake's are files written in order; ninja makes its own on all cores.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"grimperium/bench/internal/measure"
)

const stages = 5

// build is N molecules in a folder, and the program that builds them. Times are in seconds.
type build struct {
	measure.Project
	name   string
	argv   []string
	change func(i int) // one input; i is below mostRounds
	cold   float64     // from nothing; 0 if it was not measured

	null    float64 // up to date, the best of three
	peak    string  // memory, MB
	changed []float64
}

const mostRounds = 15

func (b *build) run() float64 { return measure.Run(b.Dir, b.argv...).Wall }

// settle runs an up-to-date build until what is remembered of its files has settled, then measures
// it.
func (b *build) settle() *build {
	b.run()
	b.null = min(b.run(), b.run(), b.run())
	return b
}

func main() {
	n := flag.Int("n", 1000, "molecules")
	built := flag.Bool("built", false, "measure finished builds alone, which are made quickly")
	flag.Parse()
	top, remove := measure.Compile()
	defer remove()
	fmt.Printf("%d molecules × %d targets; %s\n", *n, stages, measure.Machine(top.Dir))
	ours := grimperium(top, *n, *built)
	through := &build{name: "grimperium by go tool mage", argv: []string{"go", "tool", "mage",
		"batch", "-pipeline=" + ours.Path("pipeline.hcl"), "-table=" + ours.Table(),
		"-artefacts=" + ours.Path("artefacts")}}
	through.change = func(i int) { ours.change(mostRounds + i) }
	builds := []*build{ours.settle(), through.settle()}
	for _, p := range peers {
		_, err := exec.LookPath(p.argv[0])
		if err == nil && (p.argv[0] != "snakemake" || *n <= 1000 || *built && *n <= 10_000) {
			builds = append(builds, p.build(top, *n, *built).settle())
		}
	}
	for _, b := range builds {
		if b.argv[0] != "go" { // whose memory is not that of what it starts
			b.peak = fmt.Sprint(measure.Peak(b.Dir, b.argv...).Peak)
		}
	}
	// The builds take turns, because the speed of the machine and its disk varies.
	for k := range mostRounds {
		for _, b := range builds {
			if k < 1 || k < 5 && b.null < 10 || b.null < 1 { // a slow build less often
				b.change(k)
				b.changed = append(b.changed, b.run())
			}
		}
	}
	measure.Head("", "from nothing, ms a target", "up to date, s", "one input changed, s",
		"peak memory, MB")
	for _, b := range builds {
		cold := "–"
		if b.cold > 0 {
			cold = fmt.Sprintf("%.2f", b.cold*1000/float64(stages**n))
		}
		fmt.Printf("| %s | %s | %.3f | %.3f | %s |\n", b.name, cold, b.null,
			measure.Median(b.changed), b.peak)
	}
	lost(ours, *n)
	limits(ours, *n)
}

// grimperium makes our build.
func grimperium(top measure.Project, n int, built bool) *build {
	const stage = "stage \"s%d\" {\n  command = [\"cp\", %s, \"out\"]\n" +
		"  outputs = { f = \"out\" }\n%s}\n"
	const input = "  file \"in\" { content = \"${mol.smiles}\\n\" }\n"
	text := fmt.Sprintf(stage, 1, `"in"`, input)
	for s := 2; s <= stages; s++ {
		text += fmt.Sprintf(stage, s, fmt.Sprintf("stage.s%d.f", s-1), "")
	}
	b := &build{name: "grimperium", Project: top.New("ours", text, measure.Pending(n)),
		argv: []string{top.Program, "batch"}}
	if built {
		b.Finish(n)
	} else {
		b.cold = b.run()
	}
	b.change = func(i int) { // the SMILES of a molecule
		row, text := measure.ID(i)+",OK,0,C", measure.Read(b.Table())
		if !strings.Contains(text, row) {
			log.Fatalf("%s: no row %s", b.Table(), row)
		}
		measure.Write(b.Table(), strings.Replace(text, row, row+"O", 1))
	}
	return b
}

// lost measures a batch without its index, and until the first program starts when only the last
// molecule is stale.
func lost(b *build, n int) {
	measure.Check(os.Remove(b.Path("artefacts/.index")))
	fmt.Printf("| grimperium, index lost | – | %.3f | | |\n", b.run())
	b.settle()
	b.change(n - 1)
	cost := measure.Run(b.Dir, b.argv...)
	fmt.Printf("| grimperium, the last molecule stale: until its program starts | – | | %.3f | |\n",
		b.Started().Sub(cost.Began).Seconds())
}

// peer is a program that we are compared with.
type peer struct {
	argv []string
	file string // what it reads
	text func(n int) string
}

var peers = []peer{
	{[]string{"ninja", "-j1", "--quiet"}, "build.ninja", ninja},
	{[]string{"make", "-s"}, "Makefile", makefile},
	{[]string{"snakemake", "-j1", "--quiet", "--nolock"}, "Snakefile", snakefile},
}

func (p peer) build(top measure.Project, n int, built bool) *build {
	b := &build{name: p.argv[0], Project: top.In(p.argv[0]), argv: p.argv}
	write := func(text, name string, numbers ...any) {
		measure.Write(b.Path(fmt.Sprintf(name, numbers...)), text)
	}
	b.change = func(i int) { write("changed\n", "in/%d", i) }
	for i := range n {
		write("CCO\n", "in/%d", i)
	}
	measure.Check(os.Mkdir(b.Path("out"), 0o755))
	write(p.text(n), "%s", p.file)
	switch {
	case !built:
		b.cold = b.run()
	case b.name == "ninja": // which keeps a log
		measure.Run(b.Dir, "ninja", "--quiet")
	default: // each file no older than the one that it was made from
		for s := range stages {
			for i := range n {
				write("CCO\n", "out/%d.%d", i, s+1)
			}
		}
	}
	return b
}

func ninja(n int) string {
	var b strings.Builder
	b.WriteString("rule cp\n  command = cp $in $out\n")
	for i := range n {
		fmt.Fprintf(&b, "build out/%d.1: cp in/%d\n", i, i)
		for s := 2; s <= stages; s++ {
			fmt.Fprintf(&b, "build out/%d.%d: cp out/%d.%d\n", i, s, i, s-1)
		}
	}
	return b.String()
}

func makefile(n int) string {
	var b strings.Builder
	b.WriteString("all:")
	for i := range n {
		fmt.Fprintf(&b, " out/%d.%d", i, stages)
	}
	b.WriteString("\nout/%.1: in/% ; cp $< $@\n")
	for s := 2; s <= stages; s++ {
		fmt.Fprintf(&b, "out/%%.%d: out/%%.%d ; cp $< $@\n", s, s-1)
	}
	return b.String() + ".SECONDARY:\n"
}

func snakefile(n int) string {
	const rule = "rule s%d:\n    input: %q\n    output: \"out/{i}.%d\"\n" +
		"    shell: \"cp {input} {output}\"\n"
	text := fmt.Sprintf("rule all:\n    input: expand(\"out/{i}.%d\", i=range(%d))\n", stages, n)
	text += fmt.Sprintf(rule, 1, "in/{i}", 1)
	for s := 2; s <= stages; s++ {
		text += fmt.Sprintf(rule, s, fmt.Sprintf("out/{i}.%d", s-1), s)
	}
	return text
}

// limits measures what no program can go below: looking at the files, as often as a batch does it,
// and starting the program.
func limits(b *build, n int) {
	files := []string{"manifest.jsonl"}
	for s := range stages {
		files = append(files, fmt.Sprintf("s%d/out", s+1))
	}
	looking := measure.Time(func() {
		for i := range n {
			dir := b.Path("artefacts/" + measure.ID(i))
			for _, file := range files {
				measure.Must(os.Lstat(dir + "/" + file))
			}
		}
	})
	reading := measure.Time(func() {
		for i := range n {
			measure.Read(b.Path("artefacts/" + measure.ID(i) + "/manifest.jsonl"))
		}
	})
	const starts = 300
	cp := measure.Must(exec.LookPath("cp"))
	starting := measure.Time(func() {
		for range starts {
			argv := []string{"cp", b.Path("pipeline.hcl"), b.Path("limit")}
			process := measure.Must(os.StartProcess(cp, argv, &os.ProcAttr{}))
			measure.Must(process.Wait())
		}
	})
	fmt.Printf("| limits: fork and exec of cp; lstat of the same %d files | %.2f | %.3f | | |\n",
		n*len(files), starting.Wall*1000/starts, looking.Wall)
	fmt.Printf("\nReading the logs takes %.2f s.\n", reading.Wall)
}
