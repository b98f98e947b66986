package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"grimperium/internal/cli"
)

// profile takes the CPU and allocation profiles of a batch from nothing, of one that looks for its index in vain, and of an up-to-date one, in this very
// process, into the folder to: go tool pprof -top FILE shows them.
func (b bench) profile(to string) {
	dir := filepath.Join(b.dir, "ours")
	b.writeOurs(dir)
	to, err := filepath.Abs(to)
	check(err)
	check(os.MkdirAll(to, 0o755))
	check(os.Chdir(dir))
	if !b.built {
		take(to, "cold")
	}
	take(to, "index")
	take(to, "fresh")
}

func take(to, name string) {
	cpu, err := os.Create(filepath.Join(to, name+".cpu"))
	check(err)
	if name == "index" {
		check(os.RemoveAll("artefacts/.index"))
	}
	check(pprof.StartCPUProfile(cpu))
	check(cli.Batch(context.Background(), cli.Options{}))
	pprof.StopCPUProfile()
	check(cpu.Close())
	mem, err := os.Create(filepath.Join(to, name+".allocs"))
	check(err)
	runtime.GC()
	check(pprof.Lookup("allocs").WriteTo(mem, 0))
	check(mem.Close())
}
