package runner

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

// BenchmarkRun and BenchmarkBareExec differ by what the safety costs.
func BenchmarkRun(b *testing.B) {
	c := Command{Path: "/bin/true", Dir: b.TempDir(), Timeout: time.Minute, MaxBytes: 1 << 30,
		MaxFiles: 1000}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	mustRun(b, ctx, c)
	for b.Loop() {
		if r, err := Run(ctx, c); err != nil || !r.OK() {
			b.Fatal(r, err)
		}
	}
}

func BenchmarkBareExec(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
