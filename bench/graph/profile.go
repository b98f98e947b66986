package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"grimperium/internal/cli"
)

// profile takes the CPU and allocation profiles of a cold and of an up-to-date batch, in this very process, into the folder to: go tool pprof -top
// FILE shows them.
func profile(dir, to string, n int) {
	writeOurs(dir, n)
	to, err := filepath.Abs(to)
	check(err)
	check(os.MkdirAll(to, 0o755))
	check(os.Chdir(dir))
	for _, name := range []string{"cold", "settle", "fresh"} {
		cpu, err := os.Create(filepath.Join(to, name+".cpu"))
		check(err)
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
}
