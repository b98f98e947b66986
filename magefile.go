//go:build mage

// Grimperium: PM7 heats of formation for a table of molecules.
//
// pipeline.hcl says what is computed, data/thermo_pm7.csv holds the molecules and the results, artefacts/ has every
// file on the way. A command takes its flags as -name=value.
package main

import (
	"context"
	"os"
	"os/exec"

	"grimperium/internal/cli"
)

// Batch computes what is new, changed or failed, and merges it into the table.
//
// It reads pipeline.hcl and the table, writes artefacts/ and the table's result columns. Stop it with Ctrl-C; the next
// batch goes on from there. Exit code: 0 all well, 1 some molecules failed, 2 a mistake in the call, the pipeline or
// the table, or a missing program, 11 another batch has the table, 130 interrupted.
func Batch(ctx context.Context,
	table *string, // the table, instead of the one that pipeline.hcl names
	artefacts *string, // the folder of artefacts, instead of pipeline.hcl's
	pipeline *string, // another pipeline.hcl
	set *string, // values of variables: 'search=crest, conformers=5'
	varFile *string, // a file of such values, one a line
	only *string, // these molecules only: mol_00001,mol_00007
	maxReruns *int, // how often a failed molecule is tried, instead of pipeline.hcl's
	jobs *int, // how many processor cores the batch may use, instead of pipeline.hcl's
	dryRun *bool, // say what would run and why; write nothing
	permissive *bool, // leave out rows that can't be used, instead of stopping
) error {
	return cli.Batch(ctx, cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline), Set: value(set), VarFile: value(varFile),
		Only: value(only), MaxReruns: maxReruns, Jobs: jobs, DryRun: value(dryRun), Permissive: value(permissive)})
}

// Setup installs the programs that the pipeline runs, where they are missing.
//
// On Debian and Ubuntu as root it installs the packages by apt-get; elsewhere it prints the conda-forge command.
func Setup(ctx context.Context,
	pipeline *string, // another pipeline.hcl
	set *string, // values of variables, as for batch
) error {
	return cli.Setup(ctx, cli.Options{Pipeline: value(pipeline), Set: value(set)})
}

// Why tells of each target of a molecule whether it is fresh, and what changed where it is not.
//
// mage why mol_00001, or mage why mol_00001/pm7 for one stage. It reads pipeline.hcl, the table and artefacts/, and
// writes nothing.
func Why(ctx context.Context,
	mol string, // the molecule, or one of its targets
	table *string, // as for batch
	artefacts *string, // as for batch
	pipeline *string, // as for batch
	set *string, // as for batch
) error {
	return cli.Why(ctx, mol, cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline), Set: value(set)})
}

// Check checks pipeline.hcl against the table's header, without running anything, and tells what each stage gives.
func Check(
	table *string, // as for batch
	pipeline *string, // as for batch
	set *string, // as for batch
) error {
	return cli.Check(cli.Options{Table: value(table), Pipeline: value(pipeline), Set: value(set)})
}

// Fmt lays out pipeline.hcl in the usual way.
func Fmt(
	pipeline *string, // another pipeline.hcl
	check *bool, // only say whether it would change something: exit code 1
) error {
	return cli.Fmt(value(pipeline), value(check))
}

// Graph prints the stages as a Mermaid diagram, to be pasted into a README.
func Graph(
	pipeline *string, // another pipeline.hcl
	set *string, // as for batch
) error {
	return cli.Graph(cli.Options{Pipeline: value(pipeline), Set: value(set)})
}

// Prune lists what nothing refers to in artefacts/: molecules that left the table, stages that left the pipeline,
// earlier results.
func Prune(
	remove *bool, // remove it
	table *string, // as for batch
	artefacts *string, // as for batch
	pipeline *string, // as for batch
) error {
	return cli.Prune(value(remove), cli.Options{Table: value(table), Artefacts: value(artefacts), Pipeline: value(pipeline)})
}

// Test runs all tests, the ones with the real programs among them.
func Test(ctx context.Context,
	race *bool, // with the race detector, which needs a C compiler
) error {
	args := []string{"test", "-timeout=25m", "./..."}
	if value(race) {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// value is what a flag says, or nothing where it is not given.
func value[T any](flag *T) T {
	if flag == nil {
		var none T
		return none
	}
	return *flag
}
