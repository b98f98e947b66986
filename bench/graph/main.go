// Graph measures the machine alone against make, ninja and snakemake: N molecules × 5 chained stages that copy a small file. Everything from
// nothing, everything up to date, one input changed; wall time and peak memory; all in one run, one after the other. Peers that are not installed, or
// that would take too long (snakemake beyond 500), are left out.
//
//	go run ./bench/graph -n 1000
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const pipeline = `
stage "s1" {
  file "in" { content = "${mol.smiles}\n" }
  command = ["cp", "in", "out"]
  outputs = { f = "out" }
}
`

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 1000, "molecules")
	to := flag.String("profile", "", "take profiles of our batch into this folder, and nothing else")
	slow := flag.Bool("slow", false, "snakemake beyond 500 molecules too")
	flag.Parse()
	dir, err := os.MkdirTemp("", "grimperium-graph-")
	check(err)
	defer os.RemoveAll(dir)
	if *to != "" {
		profile(filepath.Join(dir, "ours"), *to, *n)
		return
	}
	mage := filepath.Join(dir, "mage")
	run("", "go", "tool", "mage", "-compile", mage)

	fmt.Printf("%d molecules × 5 targets, %d cores, %s\n\n", *n, runtime.NumCPU(), runtime.Version())
	fmt.Println("| | from nothing, ms a target | up to date, s | one input changed, s | peak memory, MB |")
	fmt.Println("|---|---|---|---|---|")
	ours := filepath.Join(dir, "ours")
	writeOurs(ours, *n)
	measure("grimperium", ours, *n, func() { touchOurs(ours) }, mage, "batch")
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
		if _, err := exec.LookPath(peer.argv[0]); err != nil || (*n > peer.most && !*slow) {
			fmt.Printf("| %s | – | – | – | – |\n", peer.name)
			continue
		}
		pdir := filepath.Join(dir, peer.name)
		peer.write(pdir, *n)
		measure(peer.name, pdir, *n, func() { touch(filepath.Join(pdir, "in", "7")) }, peer.argv...)
	}
	limits(dir, *n)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// run runs a command to a good end and returns its wall time and peak memory in MB.
func run(dir string, argv ...string) (time.Duration, int64) {
	cmd := exec.CommandContext(context.Background(), argv[0], argv[1:]...)
	cmd.Dir = dir
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if err != nil {
		log.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out[max(0, len(out)-2000):])
	}
	return wall, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss / 1024
}

func measure(name, dir string, n int, change func(), argv ...string) {
	cold, peak := run(dir, argv...)
	run(dir, argv...) // settles what is remembered of files
	best := time.Hour
	for range 3 {
		null, p := run(dir, argv...)
		best, peak = min(best, null), max(peak, p)
	}
	change()
	one, _ := run(dir, argv...)
	fmt.Printf("| %s | %.2f | %.3f | %.3f | %d |\n", name, cold.Seconds()*1000/float64(5*n), best.Seconds(), one.Seconds(), peak)
}

func write(path, text string) {
	check(os.MkdirAll(filepath.Dir(path), 0o755))
	check(os.WriteFile(path, []byte(text), 0o644))
}

func touch(path string) { write(path, "changed\n") }

func writeOurs(dir string, n int) {
	text := pipeline
	for s := 2; s <= 5; s++ {
		text += fmt.Sprintf("stage \"s%d\" {\n  command = [\"cp\", stage.s%d.f, \"out\"]\n  outputs = { f = \"out\" }\n}\n", s, s-1)
	}
	write(filepath.Join(dir, "pipeline.hcl"), text)
	var b strings.Builder
	b.WriteString("mol_id,status,reruns,smiles,multiplicity,charge,nheavy,timestamp_added,H298_cbs,batch_id\n")
	for i := range n {
		fmt.Fprintf(&b, "mol_%06d,Pending,0,C%s,1,0,,2026-01-01T00:00:00+00:00,-17.5,\n", i, strings.Repeat("C", i%7))
	}
	write(filepath.Join(dir, "data/thermo_pm7.csv"), b.String())
}

func touchOurs(dir string) {
	path := filepath.Join(dir, "data/thermo_pm7.csv")
	data, err := os.ReadFile(path)
	check(err)
	write(path, strings.Replace(string(data), "mol_000007,OK,0,C,", "mol_000007,OK,0,CO,", 1))
}

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

// limits measures what no program can go below: looking at the files, starting the program.
func limits(dir string, n int) {
	ours := filepath.Join(dir, "ours", "artefacts")
	start := time.Now()
	files := 0
	for i := range n {
		for _, f := range []string{"manifest.json", "s1/out", "s2/out", "s3/out", "s4/out", "s5/out"} {
			var st syscall.Stat_t
			if syscall.Lstat(fmt.Sprintf("%s/mol_%06d/%s", ours, i, f), &st) == nil {
				files++
			}
		}
	}
	looking := time.Since(start)
	const starts = 300
	start = time.Now()
	cp, err := exec.LookPath("cp")
	check(err)
	for i := range starts {
		out := filepath.Join(dir, fmt.Sprint("limit", i))
		pid, err := syscall.ForkExec(cp, []string{"cp", filepath.Join(dir, "ours", "pipeline.hcl"), out}, &syscall.ProcAttr{Env: os.Environ()})
		check(err)
		_, err = syscall.Wait4(pid, nil, 0, nil)
		check(err)
	}
	fmt.Printf("| the limit: fork and exec of cp; lstat of the same %d files | %.2f | %.3f | | |\n", files, time.Since(start).Seconds()*1000/starts, looking.Seconds())
}
