package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"grimperium/internal/batch"
)

// Setup installs the programs that the pipeline runs and that are missing. It installs Debian
// packages where apt-get and root are at hand; elsewhere the error says what to install.
func Setup(ctx context.Context, o Options) (err error) {
	ctx, end := begin(ctx)
	defer end(&err)
	p, err := load(o)
	if err != nil {
		return err
	}
	missing, err := batch.Missing(ctx, p)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		fprintln(os.Stderr, "Every program that the pipeline runs is there.")
		return nil
	}
	var debian, conda, unknown []string
	for _, program := range missing {
		if program.Debian == "" {
			unknown = append(unknown, program.Name)
		} else {
			debian = append(debian, program.Debian)
		}
		if program.Conda != "" {
			conda = append(conda, program.Conda)
		}
	}
	err = errors.New("Debian has no package for: " + strings.Join(unknown, ", "))
	if len(unknown) == 0 {
		err = Tools(ctx, debian...)
	}
	if err != nil {
		return fmt.Errorf("%w. Install what is missing with conda, then try again:\n"+
			"  conda install -c conda-forge %s", err, strings.Join(conda, " "))
	}
	missing, err = batch.Missing(ctx, p)
	if err == nil && len(missing) > 0 {
		err = errors.New("installed, but still not usable: " + missing[0].Name)
	}
	return err
}

// Tools installs the Debian packages that are missing. The error names them where it can't.
func Tools(ctx context.Context, packages ...string) error {
	missing := slices.DeleteFunc(packages, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil || exec.CommandContext(ctx, "dpkg", "-s", name).Run() == nil
	})
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("missing: %s. This needs apt-get and root, which are not at hand", names)
	}
	fprintln(os.Stderr, "Installing Debian packages:", names)
	flags := []string{"install", "-y", "-q", "--no-install-recommends"}
	for _, args := range [][]string{{"update", "-q"}, append(flags, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	return nil
}
