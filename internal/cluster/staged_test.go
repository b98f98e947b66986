package cluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// staged puts shell scripts in the place of Slurm's commands. Those that are not given do nothing.
func staged(t *testing.T, scripts map[string]string) {
	dir := t.TempDir()
	for _, name := range []string{"sbatch", "squeue", "scancel"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+scripts[name]), 0o755))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// Slurm's commands get no variables that set their options.
func TestVariables(t *testing.T) {
	staged(t, map[string]string{"squeue": `env | grep -E '^(SLURM|SBATCH|SQUEUE|SCANCEL)_'`})
	for _, name := range []string{"SLURM_CONF", "SLURM_JOB_ID", "SBATCH_PARTITION",
		"SQUEUE_PARTITION", "SCANCEL_USER"} {
		t.Setenv(name, "x")
	}
	if out, err := slurm(context.Background(), "squeue"); out != "SLURM_CONF=x\n" || err != nil {
		t.Error(out, err)
	}
}
