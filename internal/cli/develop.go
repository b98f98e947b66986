package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Bench measures what a batch costs, in the short form.
func Bench(ctx context.Context) error {
	err := tools(ctx, "make", "ninja-build", "snakemake", "python3-pandas")
	if err != nil {
		fmt.Fprintln(stderr, "Not compared with all peers:", err)
	}
	for _, args := range [][]string{
		{"run", "./bench/graph", "-n=300"},
		{"run", "./bench/overhead", "-rounds=1"},
		{"run", "./bench/table", "-parts=merge", "-rounds=2"},
	} {
		if err := goCommand(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// Lint reads the project's own code and documents.
func Lint(ctx context.Context) error { return goCommand(ctx, "run", "./internal/lint") }

// Test runs all tests, and installs what they need.
func Test(ctx context.Context, race bool) error {
	err := tools(ctx, "strace", "zstd", "slurmctld", "slurmd", "slurm-client", "postgresql", "tmux",
		"fish", "zsh", "man-db", "g++", "python3-pandas")
	if err != nil {
		return err
	}
	if err := tools(ctx, "chromium"); err != nil { // Ubuntu has no such package
		fmt.Fprintln(stderr, "The pages are not opened in a browser:", err)
	}
	list, err := exec.CommandContext(ctx, "go", "list", "./...").Output()
	if err != nil {
		return fmt.Errorf("go list: %w; run this in a checkout of Grimperium", err)
	}
	args := []string{"test", "-timeout=25m"}
	if race {
		args = append(args, "-race")
		if os.Getenv("GORACE") == "" { // each program would sleep for a second before it ends
			os.Setenv("GORACE", "atexit_sleep_ms=0")
		}
	}
	// Go prints the packages in their order. The first of the list takes minutes, so it comes last.
	packages := strings.Fields(string(list))
	return goCommand(ctx, slices.Concat(args, packages[1:], packages[:1])...)
}

// Torture runs the long form of the crash tests, with other flags if they are given.
func Torture(ctx context.Context, kills, states *int) error {
	if err := tools(ctx, "strace", "zstd"); err != nil {
		return err
	}
	args := []string{"test", "./internal/crash", "-count=1", "-timeout=6h", "-v", "-full",
		"-kills=1000", "-states=7000"} // the last of a flag counts
	if kills != nil {
		args = append(args, fmt.Sprint("-kills=", *kills))
	}
	if states != nil {
		args = append(args, fmt.Sprint("-states=", *states))
	}
	return goCommand(ctx, args...)
}

// goCommand runs the go command with its output on the terminal.
func goCommand(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
