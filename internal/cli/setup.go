package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"grimperium/internal/batch"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Setup installs the programs that the pipeline runs and that are missing: Debian's packages where apt-get and root are at hand; elsewhere it
// says what to install.
func Setup(ctx context.Context, o Options) error {
	ctx, stop := signals(ctx)
	defer stop()
	return ended(setup(ctx, o))
}

func setup(ctx context.Context, o Options) error {
	p, err := load(o)
	if err != nil {
		return err
	}
	missing, err := batch.Missing(ctx, p)
	if err != nil {
		return err
	}
	var debian, conda, unknown []string
	for _, prog := range missing {
		if prog.Debian != "" {
			debian = append(debian, prog.Debian)
		}
		if prog.Conda != "" {
			conda = append(conda, prog.Conda)
		}
		if prog.Debian == "" {
			unknown = append(unknown, prog.Name)
		}
	}
	if len(missing) == 0 {
		fprintln(os.Stderr, "Every program that the pipeline runs is there.")
		return nil
	}
	if !canInstall() || len(unknown) > 0 {
		why := "This needs apt-get and root, which are not at hand."
		if len(unknown) > 0 {
			why = "Debian has no package for: " + strings.Join(unknown, ", ") + "."
		}
		return fmt.Errorf("%s Install what is missing with conda, then try again:\n  conda install -c conda-forge %s", why, strings.Join(conda, " "))
	}
	if err := install(ctx, debian); err != nil {
		return err
	}
	if missing, err = batch.Missing(ctx, p); err != nil {
		return err
	}
	if len(missing) > 0 {
		return errors.New("installed, but still not usable: " + missing[0].Name)
	}
	return nil
}

// TestTools installs what the tests run besides the pipeline's programs, where it is missing and can be installed.
func TestTools(ctx context.Context) error {
	missing := absent("strace", "strace", "zstd", "zstd")
	if len(missing) > 0 && !canInstall() {
		return &exit{exitMistake, fmt.Errorf("the tests need %s (the simulated power cut and the compressed files): install them first", strings.Join(missing, " and "))}
	}
	return installTools(ctx, missing)
}

// BenchTools installs what the benchmarks compare with, where it is missing and can be installed; the benchmarks leave the others out.
func BenchTools(ctx context.Context) error {
	missing := absent("make", "make", "ninja", "ninja-build", "snakemake", "snakemake")
	if exec.CommandContext(ctx, "/usr/bin/python3", "-c", "import pandas").Run() != nil {
		missing = append(missing, "python3-pandas")
	}
	if len(missing) > 0 && !canInstall() {
		fprintln(os.Stderr, "Not compared with, because they are not installed:", strings.Join(missing, ", "))
		return nil
	}
	return installTools(ctx, missing)
}

// absent returns the Debian packages of the programs that are not there; program and package alternate.
func absent(names ...string) (packages []string) {
	for i := 0; i < len(names); i += 2 {
		if _, err := exec.LookPath(names[i]); err != nil {
			packages = append(packages, names[i+1])
		}
	}
	return packages
}

func installTools(ctx context.Context, packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	ctx, stop := signals(ctx)
	defer stop()
	return ended(install(ctx, packages))
}

// canInstall says whether this is Debian or one of its kin, and we may.
func canInstall() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil && os.Geteuid() == 0
}

func install(ctx context.Context, packages []string) error {
	fprintln(os.Stderr, "Installing Debian packages:", strings.Join(packages, " "))
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	return nil
}
