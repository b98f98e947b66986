package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/magefile/mage/mg"

	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
)

// Setup installs the programs that the pipeline runs and that are missing. It installs Debian
// packages where apt-get and root are at hand; elsewhere the error says what to install. With check
// it only prints what is there. tested is the content of testdata/reproduce/expected.json.
func Setup(ctx context.Context, check bool, version, tested string, o Options) error {
	return run(ctx, func(ctx context.Context) error {
		p, err := load(o)
		if err != nil {
			return err
		}
		if check {
			fmt.Fprintf(stdout, "grimperium %s for %s/%s, built by %s\n", version, runtime.GOOS,
				runtime.GOARCH, runtime.Version())
			return printPrograms(ctx, p, tested)
		}
		return install(ctx, p)
	})
}

// printPrograms prints where each program of the pipeline is, which version it has, and with which
// version Grimperium was tested. The error has exit code 1 if a program is missing that the
// pipeline needs.
func printPrograms(ctx context.Context, p *pipeline.Pipeline, tested string) error {
	var then expected
	if err := json.Unmarshal([]byte(tested), &then); err != nil {
		return fmt.Errorf("%s: %w", expectedPath, err)
	}
	programs, err := batch.Programs(ctx, p)
	if err != nil {
		return err
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	var missing error
	for _, f := range programs {
		path, is, was := f.Path, f.Identity, then.Programs[f.Name]
		switch {
		case f.Missing != nil:
			missing = errors.Join(missing, f.Missing)
			path, is = "missing", "-"
		case path == "":
			path, is = "not needed", "-"
		}
		switch was {
		case "":
			was = "untested"
		case is:
			was = "as tested"
		default:
			was = "tested with " + was
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", f.Name, is, was, path)
	}
	_ = w.Flush() // to memory
	fmt.Fprint(stdout, b.String())
	if missing != nil {
		return mg.Fatal(exitFailed, missing)
	}
	return nil
}

func install(ctx context.Context, p *pipeline.Pipeline) error {
	missing, err := batch.Missing(ctx, p)
	if err != nil {
		return err
	}
	var debian []string
	conda := "conda install -c conda-forge"
	for _, program := range missing {
		if program.Debian == "" {
			err = fmt.Errorf("no package of Debian has %s", program.Name)
		}
		debian = append(debian, program.Debian)
		conda += " " + program.Conda
	}
	if err == nil {
		err = tools(ctx, debian...)
	}
	if err != nil {
		return fmt.Errorf("%w. Install what is missing with conda, then try again:\n  %s", err,
			conda)
	}
	missing, err = batch.Missing(ctx, p)
	switch {
	case err != nil:
		return err
	case len(missing) > 0:
		return errors.New("installed, but still not usable: " + missing[0].Name)
	}
	fmt.Fprintln(stderr, "Every program that the pipeline runs is there.")
	return nil
}

// tools installs the Debian packages that are missing. The error names them where it can't.
func tools(ctx context.Context, packages ...string) error {
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
	fmt.Fprintln(stderr, "Installing Debian packages:", names)
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
