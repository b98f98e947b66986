package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/magefile/mage/mg"

	"grimperium/internal/batch"
)

// CheckSetup prints where each program of the pipeline is, which version it has, and with which
// version Grimperium was tested. tested is the content of testdata/reproduce/expected.json. The
// error has exit code 1 if a program is missing that the pipeline needs.
func CheckSetup(ctx context.Context, version, tested string, o Options) error {
	return run(ctx, func(ctx context.Context) error {
		var then expected
		if err := json.Unmarshal([]byte(tested), &then); err != nil {
			return fmt.Errorf("%s: %w", expectedPath, err)
		}
		p, err := load(o)
		if err != nil {
			return err
		}
		programs, err := batch.Programs(ctx, p)
		if err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "grimperium %s for %s/%s, built by %s\n", version, runtime.GOOS,
			runtime.GOARCH, runtime.Version())
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
		if _, err := fmt.Fprint(stdout, b.String()); err != nil {
			return err
		}
		if missing != nil {
			return mg.Fatal(exitFailed, missing)
		}
		return nil
	})
}
