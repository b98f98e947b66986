package cli

import (
	"context"
	"fmt"
	"os"

	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/internal/tables"
)

// Convert copies a table to a place where there is none, of any kind. A CSV file that becomes a
// database and a CSV file again has the same bytes. The table is not changed.
func Convert(ctx context.Context, from, to string) error {
	return run(ctx, func(context.Context) error {
		t, err := readTable(from)
		if err != nil {
			return err
		}
		if err := tables.Create(to, t); err != nil {
			return err
		}
		artefacts, options := "artefacts", loadOptions()
		options.Environ, options.Table = os.Environ(), place(from)
		if p, err := pipeline.Load("pipeline.hcl", options); err == nil {
			artefacts = batch.ShownPath(p.Artefacts)
		}
		fmt.Fprintf(stderr, "%s has %s now. To go on with that table, write in the block "+
			"pipeline of pipeline.hcl:\n  table     = %[1]q\n  artefacts = %[3]q\n", to,
			batch.Count(t.Len(), "row"), artefacts)
		return nil
	})
}
